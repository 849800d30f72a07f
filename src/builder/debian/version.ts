/**
 * Versions of Debian packages in their order.
 *
 * @see deb-version(7), Debian policy 5.6.12
 */

interface Parts {
  readonly epoch: number;
  readonly upstream: string;
  readonly revision: string;
}

function split(version: string): Parts {
  const colon = version.indexOf(':');
  const epoch = colon < 0 ? 0 : Number(version.slice(0, colon));
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return dash < 0
    ? { epoch, upstream: rest, revision: '' }
    : { epoch, upstream: rest.slice(0, dash), revision: rest.slice(dash + 1) };
}

const ZERO = 0x30;
const isDigit = (code: number): boolean => code >= ZERO && code <= 0x39;

/** How a character that is no digit sorts: a tilde before the end, letters before all others. */
function weight(code: number): number {
  if (Number.isNaN(code) || isDigit(code)) return 0;
  if (code === 0x7e) return -1;
  const isLetter = (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
  return isLetter ? code : code + 256;
}

/** Compares piece by piece: what is between numbers by weight, numbers by value. */
function comparePart(a: string, b: string): number {
  let i = 0;
  let j = 0;
  const inText = (text: string, at: number): boolean =>
    at < text.length && !isDigit(text.charCodeAt(at));
  const endOfDigits = (text: string, at: number): number => {
    let end = at;
    while (isDigit(text.charCodeAt(end))) end++;
    return end;
  };
  const afterZeros = (text: string, at: number): number => {
    let start = at;
    while (text.charCodeAt(start) === ZERO) start++;
    return start;
  };
  while (i < a.length || j < b.length) {
    while (inText(a, i) || inText(b, j)) {
      const difference = weight(a.charCodeAt(i)) - weight(b.charCodeAt(j));
      if (difference !== 0) return Math.sign(difference);
      i++;
      j++;
    }
    // Numbers may have more digits than a number holds: their length decides, then their digits.
    const [startA, startB] = [afterZeros(a, i), afterZeros(b, j)];
    [i, j] = [endOfDigits(a, startA), endOfDigits(b, startB)];
    const [sizeA, sizeB] = [i - startA, j - startB];
    if (sizeA !== sizeB) return Math.sign(sizeA - sizeB);
    const [digitsA, digitsB] = [a.slice(startA, i), b.slice(startB, j)];
    if (digitsA !== digitsB) return digitsA < digitsB ? -1 : 1;
  }
  return 0;
}

/** @returns -1, 0 or 1, as `a` is older than, as old as, or newer than `b`. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [split(a), split(b)];
  if (x.epoch !== y.epoch) return x.epoch < y.epoch ? -1 : 1;
  return comparePart(x.upstream, y.upstream) || comparePart(x.revision, y.revision);
}

/** How a relation compares versions. */
export type VersionOperator = '<<' | '<=' | '=' | '>=' | '>>';

export function versionSatisfies(
  version: string,
  operator: VersionOperator,
  than: string,
): boolean {
  const order = compareVersions(version, than);
  switch (operator) {
    case '<<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '=':
      return order === 0;
    case '>=':
      return order >= 0;
    case '>>':
      return order > 0;
  }
}
