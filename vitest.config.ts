import { defineConfig } from 'vitest/config';

// One project a kind of proof (see CONTRIBUTING.md). Boots share two cores under emulation: they run one at a time.
const project = (name: string, testTimeout: number, fileParallelism = true) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    setupFiles: ['test/support/environment.ts'],
    testTimeout,
    hookTimeout: 300_000,
    fileParallelism,
  },
});

// oxlint-disable-next-line import/no-default-export -- vitest asks for one
export default defineConfig({
  test: {
    globalSetup: ['test/support/shared-keys.ts'],
    // Vitest leaves one core to others, which on two of them is half of the machine.
    maxWorkers: '100%',
    projects: [
      project('unit', 30_000),
      project('golden', 60_000),
      project('interop', 120_000),
      project('boot', 240_000, false),
    ],
  },
});
