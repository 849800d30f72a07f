/** The APK Signing Block byte by byte. */

import { FormatError } from '../../core/errors.ts';
import { findBlockName, SIGNING_BLOCK_MAGIC } from '../../formats/apk/signing-block.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { field, hex, partNode, showBytes, type Parts } from './node.ts';

const FOOTER = 24;
const SHOWN = 64;

/**
 * Adds the block that ends at `end`, if one does.
 *
 * @param end The start of the central directory.
 */
export async function addSigningBlock(
  parts: Parts,
  source: ByteSource,
  end: number,
): Promise<void> {
  if (end < FOOTER || end > source.size) return;
  const footer = await source.read(end - FOOTER, FOOTER);
  const magic = Buffer.from(footer.subarray(8));
  if (!magic.equals(SIGNING_BLOCK_MAGIC)) return;
  const view = new DataView(footer.buffer, footer.byteOffset);
  const size = Number(view.getBigUint64(0, true));
  const offset = end - size - 8;
  const node = await partNode(
    { name: 'APK Signing Block', offset, size: size + 8 },
    async (inner) => {
      if (!Number.isSafeInteger(size) || offset < 0) {
        throw new FormatError('apk', 'out-of-range', `The signing block has ${size} bytes`, {
          offset: end - FOOTER,
        });
      }
      const head = await source.read(offset, 8);
      const headSize = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
      inner.fields.push(field('size', headSize, offset, 8));
      for (let at = offset + 8; at < end - FOOTER;) {
        const bytes = await source.read(at, 12);
        const pair = new DataView(bytes.buffer, bytes.byteOffset);
        const length = Number(pair.getBigUint64(0, true));
        const id = pair.getUint32(8, true);
        const next = at + 8 + length;
        if (length < 4 || next > end - FOOTER) {
          throw new FormatError('apk', 'out-of-range', `A pair has ${length} bytes`, {
            offset: at,
          });
        }
        const value = await source.read(at + 12, Math.min(SHOWN, length - 4));
        const rest = length - 4 > SHOWN ? '…' : '';
        inner.children.push({
          name: findBlockName(id) ?? `pair ${hex(id, 8)}`,
          offset: at,
          size: 8 + length,
          fields: [
            field('size', length, at, 8),
            field('id', hex(id, 8), at + 8, 4),
            field('value', `${showBytes(value)}${rest}`, at + 12, length - 4),
          ],
          children: [],
        });
        at = next;
      }
      inner.fields.push(field('size again', size, end - FOOTER, 8));
      inner.fields.push(field('magic', 'APK Sig Block 42', end - 16, 16));
    },
  );
  parts.children.push(node);
}
