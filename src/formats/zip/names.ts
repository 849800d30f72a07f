/** Which entry names an APK of ours may have: no two readers may disagree on what they mean. */

/** Longer than any real path; keeps error texts and sets small. */
const MAX_NAME_BYTES = 1024;

// Control characters are what this pattern is about.
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Names that most entries have, and nothing is wrong with: most archives hold thousands. */
const ORDINARY = /^(?:[A-Za-z0-9_][A-Za-z0-9_.+-]*\/)*[A-Za-z0-9_][A-Za-z0-9_.+-]*\/?$/;

/** What is wrong with an entry name, or undefined. A final `/` marks a directory. */
export function nameProblem(name: string): string | undefined {
  if (name.length <= MAX_NAME_BYTES && ORDINARY.test(name)) return undefined;
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `is longer than ${MAX_NAME_BYTES} bytes`;
  if (CONTROL.test(name)) return 'holds a control character';
  if (name.includes('\\')) return 'holds a backslash';
  if (name.startsWith('/')) return 'is absolute';
  if (/^[A-Za-z]:/.test(name)) return 'starts with a drive letter';
  const segments = (name.endsWith('/') ? name.slice(0, -1) : name).split('/');
  for (const segment of segments) {
    if (segment === '') return 'has an empty segment';
    if (segment === '.' || segment === '..') return `has a "${segment}" segment`;
  }
  return undefined;
}

/** Two names with one key are the same file on some file system. */
function nameKey(name: string): string {
  const path = name.endsWith('/') ? name.slice(0, -1) : name;
  if (ORDINARY.test(path)) return path.toUpperCase();
  return path.normalize('NFC').toLowerCase().toUpperCase().normalize('NFC');
}

/**
 * Collects names and finds the first that means the same as an earlier one, or that makes one path
 * both a file and a directory.
 */
export interface NameSet {
  /** Adds a name; returns what is wrong with it in the presence of the others, or undefined. */
  add(name: string): string | undefined;
}

export function nameSet(): NameSet {
  const files = new Set<string>();
  const directories = new Set<string>();
  const listed = new Set<string>();
  return {
    add(name) {
      const key = nameKey(name);
      if (listed.has(key)) return 'is listed twice (ignoring case and normalization)';
      listed.add(key);
      if (name.endsWith('/')) directories.add(key);
      else files.add(key);
      // From the deepest folder up: those above a folder that is known are known, too.
      for (let at = key.lastIndexOf('/'); at > 0; at = key.lastIndexOf('/', at - 1)) {
        const folder = key.slice(0, at);
        if (files.has(folder)) return 'lies below a file';
        if (directories.has(folder)) break;
        directories.add(folder);
      }
      if (files.has(key) && directories.has(key)) return 'is a file and a directory';
      return undefined;
    },
  };
}
