/** Huffman codes whose lengths are limited, as DEFLATE and Zstandard have them. */

/**
 * The lengths of a Huffman code for symbols of these frequencies, none longer than `maxLength` bits.
 * Symbols that do not occur get 0. A single symbol gets 1 bit, as a code of none cannot be written.
 *
 * Equal frequencies are ordered by symbol, so that there is one result.
 */
export function codeLengths(frequencies: Uint32Array, maxLength: number): Uint8Array {
  const lengths = new Uint8Array(frequencies.length);
  const symbols: number[] = [];
  for (let symbol = 0; symbol < frequencies.length; symbol += 1) {
    if (frequencies[symbol] !== 0) symbols.push(symbol);
  }
  const count = symbols.length;
  if (count === 0) return lengths;
  if (count === 1) {
    lengths[symbols[0] as number] = 1;
    return lengths;
  }
  symbols.sort((a, b) => (frequencies[a] as number) - (frequencies[b] as number) || a - b);

  // Two queues, leaves and sums, both in rising order: the two smallest are at their heads.
  const parent = new Int32Array(2 * count - 1);
  const weight = new Float64Array(2 * count - 1);
  for (let at = 0; at < count; at += 1) weight[at] = frequencies[symbols[at] as number] as number;
  let leaf = 0;
  let sum = count;
  for (let next = count; next < 2 * count - 1; next += 1) {
    for (let side = 0; side < 2; side += 1) {
      const takeLeaf =
        leaf < count && (sum >= next || (weight[leaf] as number) <= (weight[sum] as number));
      const taken = takeLeaf ? leaf++ : sum++;
      parent[taken] = next;
      weight[next] = (weight[next] as number) + (weight[taken] as number);
    }
  }
  // From the root downwards; then how many leaves each depth has, those too deep counted at the limit.
  const depth = new Uint32Array(2 * count - 1);
  const counts = new Uint32Array(maxLength + 1);
  for (let at = 2 * count - 3; at >= 0; at -= 1) {
    depth[at] = (depth[parent[at] as number] as number) + 1;
    if (at < count) {
      const length = Math.min(depth[at] as number, maxLength);
      counts[length] = (counts[length] as number) + 1;
    }
  }
  limitDepth(counts, maxLength);
  // The rarest symbols get the longest codes.
  let at = 0;
  for (let length = maxLength; length > 0; length -= 1) {
    for (let left = counts[length] as number; left > 0; left -= 1) {
      lengths[symbols[at] as number] = length;
      at += 1;
    }
  }
  return lengths;
}

/** Makes the code of so many symbols of each length complete again after deep ones were lifted. */
function limitDepth(counts: Uint32Array, maxLength: number): void {
  let used = 0;
  for (let length = 1; length <= maxLength; length += 1) {
    used += (counts[length] as number) * 2 ** (maxLength - length);
  }
  for (; used > 2 ** maxLength; used -= 1) {
    // One symbol of the limit's length becomes the sibling of a shorter one, which moves down.
    counts[maxLength] = (counts[maxLength] as number) - 1;
    for (let length = maxLength - 1; length > 0; length -= 1) {
      if (counts[length] === 0) continue;
      counts[length] = (counts[length] as number) - 1;
      counts[length + 1] = (counts[length + 1] as number) + 2;
      break;
    }
  }
}

/** The canonical codes of DEFLATE for these lengths, bits reversed: it sends them from the highest bit. */
export function canonicalCodes(lengths: Uint8Array): Uint16Array {
  const next = new Uint16Array(17);
  for (const length of lengths) {
    if (length > 0) next[length + 1] = (next[length + 1] as number) + 1;
  }
  for (let length = 1; length < 16; length += 1) {
    next[length + 1] = ((next[length + 1] as number) + (next[length] as number)) << 1;
  }
  const codes = new Uint16Array(lengths.length);
  for (let symbol = 0; symbol < lengths.length; symbol += 1) {
    const length = lengths[symbol] as number;
    if (length === 0) continue;
    let code = next[length] as number;
    next[length] = code + 1;
    let reversed = 0;
    for (let bit = 0; bit < length; bit += 1) {
      reversed = (reversed << 1) | (code & 1);
      code >>>= 1;
    }
    codes[symbol] = reversed;
  }
  return codes;
}
