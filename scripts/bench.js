// Compiles test/bench and runs it. `node scripts/bench.js --help` says what it can; docs/benchmarks.md how to read it.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compile = (project) => {
  const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(root, project)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) process.exit(1);
};
if (!existsSync(join(root, 'dist/bin/main.cjs'))) await import('./build.js');
compile('test/bench/tsconfig.json');
const { runBench } = await import(pathToFileURL(join(root, 'target/bench/main.js')).href);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
const { text, exitCode } = await runBench(process.argv.slice(2), root, (line) =>
  process.stderr.write(`${line}\n`),
);
process.stdout.write(`${text}\n`);
process.exitCode = exitCode;
