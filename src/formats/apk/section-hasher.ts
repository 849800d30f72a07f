/**
 * Copying and hashing a whole section of an APK between open files: what a faster implementation does
 * in one go. The reference is the pass over streams.
 */

import type { ImageTarget } from '../../io/image-pieces.ts';

/** Bytes of a section: a range of the input, or bytes of our own. */
export type SectionPiece =
  | { readonly kind: 'input'; readonly offset: number; readonly size: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

/** A section, and where it and its digests go. All sizes and offsets are bytes. */
export interface SectionPass {
  readonly input: ImageTarget;
  /** What the section consists of; zeros follow up to its size. */
  readonly pieces: readonly SectionPiece[];
  readonly size: number;
  /** Left out when the section is only hashed. */
  readonly output?: ImageTarget | undefined;
  /** SHA-256 of the chunks: 32 for each MiB. */
  readonly sha256?: Uint8Array | undefined;
  /** SHA-512 of the chunks: 64 for each MiB. */
  readonly sha512?: Uint8Array | undefined;
  /** SHA-256 of the blocks: 32 for each 4096, the last padded with zeros. */
  readonly leaves?: Uint8Array | undefined;
  /** The same behind a salt of 8 zeros. */
  readonly saltedLeaves?: Uint8Array | undefined;
}

export interface SectionHasher {
  /**
   * Runs a pass. The files stay open and the buffers stay as they are until it is done.
   *
   * @throws the system's error when reading or writing fails; {FormatError} `truncated` when the input
   *   ends early.
   */
  hashSection(pass: SectionPass): Promise<void>;
}
