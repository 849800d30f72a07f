/** One reading of sizes, wherever they are given. */

import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import { parseSize } from '../../../src/core/size.ts';

describe('parseSize()', () => {
  test.each([
    ['0', 0],
    ['1234', 1234],
    ['10GiB', 10 * 2 ** 30],
    ['10 gib', 10 * 2 ** 30],
    ['1.5G', 1.5e9],
    ['500MB', 5e8],
    ['2Ti', 2 ** 41],
  ])('%s', (text, size) => {
    expect(parseSize(text, 'it')).toBe(size);
  });

  test.each(['', 'much', '-1', '1e3', '10 GiB!', '1.5.2', '99999999TiB', 'GiB'])(
    'refuses %j',
    (text) => {
      expect(() => parseSize(text, 'it')).toThrow(UsageError);
    },
  );
});
