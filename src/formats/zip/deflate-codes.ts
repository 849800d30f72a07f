/**
 * Huffman codes as zlib chooses them: RFC 1951 says what a decoder takes, and leaves open which of many
 * optimal codes an encoder uses. Ties are broken by depth and order of the heap, as zlib breaks them.
 *
 * @see https://www.rfc-editor.org/rfc/rfc1951 section 3.2
 */

/** The symbols of one of a block's alphabets. */
export interface Alphabet {
  readonly size: number;
  /** Bits that follow a symbol's code, by symbol. */
  readonly extraBits: readonly number[];
  readonly maxLength: number;
}

/** The code of each symbol. */
export interface HuffmanCode {
  /** In bits; 0 for symbols that do not occur. */
  readonly lengths: Uint8Array;
  /** As they are sent, first bit lowest. */
  readonly codes: Uint16Array;
  /** The last symbol that has a code. */
  readonly maxSymbol: number;
  /** Of all symbols together with their extra bits. */
  readonly totalBits: number;
}

function reverseBits(value: number, count: number): number {
  let result = 0;
  for (let bit = 0; bit < count; bit++) result |= ((value >>> bit) & 1) << (count - 1 - bit);
  return result;
}

/** The canonical codes of these lengths. */
export function canonicalCodes(lengths: Uint8Array, maxLength: number): Uint16Array {
  const counts = new Uint16Array(maxLength + 1);
  for (const length of lengths) if (length > 0) counts[length] = (counts[length] ?? 0) + 1;
  const next = new Uint16Array(maxLength + 2);
  for (let length = 1; length <= maxLength; length++) {
    next[length + 1] = ((next[length] ?? 0) + (counts[length] ?? 0)) << 1;
  }
  const codes = new Uint16Array(lengths.length);
  for (const [symbol, length] of lengths.entries()) {
    if (length === 0) continue;
    const code = next[length] ?? 0;
    next[length] = code + 1;
    codes[symbol] = reverseBits(code, length);
  }
  return codes;
}

/** A heap of nodes, least frequent first; of the same frequency, the shallower tree first. */
class NodeHeap {
  readonly #nodes: number[] = [];
  readonly #isBefore: (a: number, b: number) => boolean;

  constructor(nodes: readonly number[], isBefore: (a: number, b: number) => boolean) {
    this.#nodes.push(...nodes);
    this.#isBefore = isBefore;
    for (let at = nodes.length >> 1; at >= 1; at--) this.#sink(at);
  }

  get size(): number {
    return this.#nodes.length;
  }

  get first(): number {
    return this.#at(1);
  }

  /** Takes the first node away; the last one takes its place and sinks. */
  shift(): number {
    const { first } = this;
    const last = this.#nodes.pop();
    if (last !== undefined && this.#nodes.length > 0) this.replaceFirst(last);
    return first;
  }

  replaceFirst(node: number): void {
    this.#nodes[0] = node;
    this.#sink(1);
  }

  /** Counted from 1, so that the children of `at` are `2 at` and `2 at + 1`. */
  #at(at: number): number {
    return this.#nodes[at - 1] ?? 0;
  }

  #sink(from: number): void {
    const node = this.#at(from);
    let at = from;
    for (let child = at * 2; child <= this.size; child = at * 2) {
      if (child < this.size && this.#isBefore(this.#at(child + 1), this.#at(child))) child++;
      if (this.#isBefore(node, this.#at(child))) break;
      this.#nodes[at - 1] = this.#at(child);
      at = child;
    }
    this.#nodes[at - 1] = node;
  }
}

/** The tree over the symbols: nodes from the root down, and each node's parent. */
interface Tree {
  readonly order: readonly number[];
  readonly parents: Uint16Array;
  readonly frequencies: Uint32Array;
}

/** Joins the two least frequent nodes until one is left. */
function growTree(used: readonly number[], given: Uint32Array): Tree {
  const size = given.length;
  const frequencies = new Uint32Array(size * 2);
  frequencies.set(given);
  const depths = new Uint8Array(size * 2);
  const parents = new Uint16Array(size * 2);
  const frequency = (node: number): number => frequencies[node] ?? 0;
  const depth = (node: number): number => depths[node] ?? 0;
  const heap = new NodeHeap(
    used,
    (a, b) =>
      frequency(a) < frequency(b) || (frequency(a) === frequency(b) && depth(a) <= depth(b)),
  );
  const joined: number[] = [];
  for (let node = size; heap.size >= 2; node++) {
    const least = heap.shift();
    const second = heap.first;
    joined.push(least, second);
    frequencies[node] = frequency(least) + frequency(second);
    depths[node] = Math.max(depth(least), depth(second)) + 1;
    parents[least] = node;
    parents[second] = node;
    heap.replaceFirst(node);
  }
  return { order: [heap.first, ...joined.toReversed()], parents, frequencies };
}

/** Moves leaves up until no code is longer than allowed. @param counts Codes of each length. */
function shortenCodes(counts: Uint16Array, overflow: number, maxLength: number): void {
  const count = (length: number): number => counts[length] ?? 0;
  for (let left = overflow; left > 0; left -= 2) {
    let bits = maxLength - 1;
    while (count(bits) === 0) bits--;
    counts[bits] = count(bits) - 1;
    // One of them and a leaf that was too deep become siblings one level below.
    counts[bits + 1] = count(bits + 1) + 2;
    counts[maxLength] = count(maxLength) - 1;
  }
}

function codeLengths(tree: Tree, symbols: number, maxLength: number): Uint8Array {
  const lengths = new Uint8Array(tree.parents.length);
  const counts = new Uint16Array(maxLength + 1);
  let overflow = 0;
  const [root, ...others] = tree.order;
  for (const node of others) {
    const parent = tree.parents[node] ?? 0;
    const wanted = (parent === root ? 0 : (lengths[parent] ?? 0)) + 1;
    if (wanted > maxLength) overflow++;
    const length = Math.min(wanted, maxLength);
    lengths[node] = length;
    if (node < symbols) counts[length] = (counts[length] ?? 0) + 1;
  }
  if (overflow > 0) {
    shortenCodes(counts, overflow, maxLength);
    // The rarest symbols, at the end of the order, get the longest codes.
    const leaves = tree.order.filter((node) => node < symbols).toReversed();
    let at = 0;
    for (let length = maxLength; length > 0; length--) {
      for (let left = counts[length] ?? 0; left > 0; left--) lengths[leaves[at++] ?? 0] = length;
    }
  }
  return lengths.slice(0, symbols);
}

/** Chooses the code for symbols that occur this often. */
export function chooseCode(given: Uint32Array, { extraBits, maxLength }: Alphabet): HuffmanCode {
  const frequencies = Uint32Array.from(given);
  const used: number[] = [];
  for (const [symbol, frequency] of frequencies.entries()) if (frequency > 0) used.push(symbol);
  let maxSymbol = used.at(-1) ?? -1;
  // A code has two symbols at least, which need not occur.
  while (used.length < 2) {
    const symbol = maxSymbol < 2 ? ++maxSymbol : 0;
    frequencies[symbol] = 1;
    used.push(symbol);
  }
  const tree = growTree(used, frequencies);
  const lengths = codeLengths(tree, frequencies.length, maxLength);
  let totalBits = 0;
  for (const [symbol, frequency] of given.entries()) {
    totalBits += frequency * ((lengths[symbol] ?? 0) + (extraBits[symbol] ?? 0));
  }
  return { lengths, codes: canonicalCodes(lengths, maxLength), maxSymbol, totalBits };
}
