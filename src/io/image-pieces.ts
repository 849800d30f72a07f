/**
 * An image as a list of pieces: bytes, and parts of files' contents. A format says what goes where;
 * who puts the pieces together need not know the format, and may do it in another language.
 *
 * Nothing is written where no piece is: that reads as zeros.
 */

import type { ByteSource } from './byte-source.ts';
import type { FileContent } from './file-tree.ts';

/** Part of a content and where in the image it goes. All in bytes. */
export interface ContentExtent {
  /** Offset in the content. */
  readonly from: number;
  readonly size: number;
  /** Offset in the image. */
  readonly to: number;
  /**
   * Whether other pieces have part of its blocks; then it is below `sharedSize`. Else it starts a block,
   * and what it leaves of its last one is zeros.
   */
  readonly shared: boolean;
}

export type ImagePiece =
  | {
      readonly kind: 'bytes';
      readonly to: number;
      readonly shared: boolean;
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: 'content';
      /** How errors name it. */
      readonly path: string;
      readonly content: FileContent;
      /** By `from`; they do not overlap, neither in the content nor in the image. */
      readonly extents: readonly ContentExtent[];
    }
  | {
      /** Whole blocks of the previous image: offsets there and here, and how many bytes they are. */
      readonly kind: 'copy';
      readonly from: number;
      readonly to: number;
      readonly size: number;
    };

/** An image that is there already, whose blocks a new one may take. */
export interface PreviousBlocks {
  /** The image. */
  readonly source: ByteSource;
  /**
   * Where in the source's file the digests of its blocks are, 32 bytes each; absent when there are none
   * as the new image's are made.
   */
  readonly digests?: number | undefined;
}

/** A range of the image, in bytes. */
export interface ImageRange {
  readonly offset: number;
  readonly size: number;
}

export interface ImagePieces {
  /** Bytes of the image, and of one of its blocks. */
  readonly size: number;
  readonly blockSize: number;
  /** Pieces share blocks below this offset only: whole blocks. */
  readonly sharedSize: number;
  /** Bytes that all pieces have. */
  readonly pieceSize: number;
  /** What pieces are copied from. */
  readonly previous?: PreviousBlocks | undefined;
  /** The ranges of all pieces that share blocks: known before any is made. */
  sharedRanges(): Iterable<ImageRange>;
  /** Makes the pieces, nearly in the order of their offsets. Their bytes are the receiver's to keep. */
  pieces(): Iterable<ImagePiece>;
  /** Changes the finished first block, which holds what sums up others. */
  seal(firstBlock: Uint8Array): void;
}

/** An image is put together where it will stand. */
export interface ImageTarget {
  /** Open for reading and writing; zeros where the image goes. */
  readonly fd: number;
  /** Where in the file the image starts, in bytes. */
  readonly offset: number;
}

export interface AssembleOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with how many of `pieceSize` bytes are done. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface BlockDigests {
  /** Bytes a block of hashing; at most one of the image's. */
  readonly blockSize: number;
  readonly salt: Uint8Array;
  /** Gets the SHA-256 of each block, behind the salt: 32 bytes each. */
  readonly digests: Uint8Array;
}

/** Puts images together and hashes them on the way. */
export interface ImageAssembler {
  /**
   * @throws {UsageError} `input` when a content has not the size it said.
   * @throws the system's error when reading or writing fails; the signal's reason when it is aborted.
   */
  assemble(
    image: ImagePieces,
    target: ImageTarget,
    options?: AssembleOptions & { readonly hashing?: BlockDigests | undefined },
  ): Promise<void>;
}
