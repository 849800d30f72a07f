/** Memory that a module of PKCS#11 reads and writes by address, while another thread runs it. */

import { CK_ATTRIBUTE, CK_MECHANISM } from '../formats/pkcs11/records.ts';
import type { AttributeValue, SignMechanism } from '../formats/pkcs11/cryptoki.ts';

/** Bytes with an address. Whoever calls with the address must keep the block until the call has ended. */
export interface Block {
  readonly bytes: Uint8Array;
  readonly address: bigint;
  /** Blocks that this one points to. */
  readonly pointees: readonly Block[];
}

export type Allocate = (content: Uint8Array | number, pointees?: readonly Block[]) => Block;

/**
 * @param addressOf Of a buffer's first byte.
 */
export function createAllocator(addressOf: (buffer: Uint8Array) => bigint): Allocate {
  return (content, pointees = []) => {
    const size = typeof content === 'number' ? content : content.length;
    // Over an ArrayBuffer of its own: a small typed array alone would lie in the heap, where the
    // garbage collector moves it. It is never empty, so that it has an address.
    const bytes = new Uint8Array(new ArrayBuffer(Math.max(size, 8)), 0, size);
    if (typeof content !== 'number') bytes.set(content);
    return { bytes, address: addressOf(bytes), pointees };
  };
}

export function readUlong({ bytes }: Block): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}

export function ulongs({ bytes }: Block, count: number): readonly bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, count * 8);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(index * 8, true));
}

export function allocateUlong(allocate: Allocate, value: number | bigint): Block {
  const block = allocate(8);
  new DataView(block.bytes.buffer).setBigUint64(0, BigInt(value), true);
  return block;
}

/** An array of CK_ATTRIBUTE, with its values. */
export function allocateTemplate(allocate: Allocate, values: readonly AttributeValue[]): Block {
  const pointees = values.map(({ value }) => allocate(value));
  const block = allocate(values.length * CK_ATTRIBUTE.size, pointees);
  const view = new DataView(block.bytes.buffer);
  for (const [index, { type, value }] of values.entries()) {
    CK_ATTRIBUTE.encodeInto(view, index * CK_ATTRIBUTE.size, {
      type: BigInt(type),
      pValue: pointees[index]?.address ?? 0n,
      ulValueLen: BigInt(value.length),
    });
  }
  return block;
}

export function allocateMechanism(allocate: Allocate, mechanism: SignMechanism): Block {
  const { type, parameter } = mechanism;
  const pointee = parameter === undefined ? undefined : allocate(parameter);
  return allocate(
    CK_MECHANISM.encode({
      mechanism: BigInt(type),
      pParameter: pointee?.address ?? 0n,
      ulParameterLen: BigInt(parameter?.length ?? 0),
    }),
    pointee === undefined ? [] : [pointee],
  );
}
