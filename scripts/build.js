// Compiles src into dist, each module and its types, and bundles the command line into dist/bin: a program
// of few CommonJS files starts in three quarters of the time that its modules take to be found and linked.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const { status } = spawnSync(
  join(root, 'node_modules/.bin/tsc'),
  ['-p', join(root, 'tsconfig.build.json')],
  { stdio: 'inherit' },
);
if (status !== 0) process.exit(status ?? 1);

const folder = join(root, 'dist/bin');
rmSync(folder, { recursive: true, force: true });
const bundle = await rolldown({
  input: join(root, 'dist/cli/main.js'),
  platform: 'node',
  // Only what is not JavaScript stays outside.
  external: [/^node:/, 'koffi'],
  transform: { define: { 'import.meta.url': 'moduleUrl', 'import.meta': '{}' } },
  plugins: [
    {
      name: 'module-url',
      renderChunk: (code) =>
        code.includes('moduleUrl')
          ? `const moduleUrl = require('node:url').pathToFileURL(__filename).href;\n${code}`
          : undefined,
    },
    {
      // Code out of V8's cache cannot import; what stays outside of the bundle can all be required.
      name: 'no-import',
      renderChunk: (code) =>
        code.replaceAll(/\bimport\(("[\w:]+")\)/g, 'Promise.resolve(require($1))'),
    },
  ],
});
await bundle.write({
  dir: folder,
  format: 'cjs',
  exports: 'named',
  entryFileNames: '[name].cjs',
  chunkFileNames: '[name]-[hash].cjs',
});
await bundle.close();

// Compiled here, all functions of it: V8 counts flags as part of what the result is for, so that this one is
// set for the compiler only.
const { CACHE_SUFFIX, compile } = createRequire(import.meta.url)('../bin/load.js');
for (const name of readdirSync(folder)) {
  const path = join(folder, name);
  setFlagsFromString('--no-lazy');
  const script = compile(path);
  setFlagsFromString('--lazy');
  writeFileSync(path + CACHE_SUFFIX, script.createCachedData());
}

// What the definitions of the commands say, once and for all: nobody who asks for help waits for their code.
const at = (path) => new URL(`../${path}`, import.meta.url);
const { loadCommands } = await import(at('dist/cli/commands.js'));
const { liveSpec } = await import(at('dist/cli/completion/live-spec.js'));
const { helpPages } = await import(at('dist/cli/help/help-pages.js'));
const { COMPLETION_FILE, HELP_WIDTHS, helpFile } = await import(at('dist/cli/made-pages.js'));
const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
const commands = await loadCommands();
for (const width of HELP_WIDTHS) {
  writeFileSync(at(helpFile(width)), JSON.stringify(await helpPages(commands, version, width)));
}
writeFileSync(at(COMPLETION_FILE), JSON.stringify(await liveSpec()));
