#!/usr/bin/env node
// Checks the Node version in syntax that old ones understand, then hands over to the program.
const [major, minor] = process.versions.node.split('.').map(Number);
if (!((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22)) {
  process.stderr.write(
    `error: microbuild needs Node 20.19, 22.12 or later: this is ${process.versions.node}\n`,
  );
  process.exitCode = 4;
} else {
  // CommonJS, bundled: it starts sooner than modules do (scripts/build.js).
  const { load } = require('./load.js');
  const { main } = load(require('node:path').join(__dirname, '../dist/bin/main.cjs'));
  const run = async () => {
    process.exitCode = await main(process.argv.slice(2));
  };
  void run();
}
