// Loads the bundle of the command line, each file with the code that V8 made of it when it was built
// (scripts/build.js): to parse and compile it anew takes a fifth of a short run.
const { readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

const CACHE_SUFFIX = '.cache';

/** As Node wraps CommonJS modules. `cachedData` of another Node version is left aside by V8. */
function compile(path, cachedData) {
  const source = readFileSync(path, 'utf8');
  return new Script(`(function (exports, require, __filename) {${source}\n})`, {
    filename: path,
    ...(cachedData && { cachedData }),
  });
}

function readCache(path) {
  try {
    return readFileSync(path + CACHE_SUFFIX);
  } catch {
    return undefined;
  }
}

const loaded = new Map();

/** The exports of a file of the bundle; what is not of the bundle, Node finds. */
function load(path) {
  let exported = loaded.get(path);
  if (exported === undefined) {
    exported = {};
    loaded.set(path, exported);
    const requireFrom = (id) => (id.startsWith('./') ? load(join(dirname(path), id)) : require(id));
    compile(path, readCache(path)).runInThisContext()(exported, requireFrom, path);
  }
  return exported;
}

module.exports = { CACHE_SUFFIX, compile, load };
