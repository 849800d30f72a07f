/** Hostile bytes: every decoder gives a value or a FormatError, every session ends with a typed error. */

import { readFileSync } from 'node:fs';
import { PassThrough, duplexPair } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError, MicrobuildError } from '../../../../src/core/errors.ts';
import { openRpcClient } from '../../../../src/runner/rpc/client.ts';
import { BinderException, BinderStatusError } from '../../../../src/runner/rpc/errors.ts';
import { ParcelReader } from '../../../../src/runner/rpc/parcel-reader.ts';
import { RpcServer } from '../../../../src/runner/rpc/server.ts';
import { readStatus } from '../../../../src/runner/rpc/status.ts';
import {
  RpcConnectionHeader,
  checkConnectionInit,
  decodeDecStrong,
  decodeFrameHeader,
  decodeReply,
  decodeTransaction,
} from '../../../../src/runner/rpc/wire.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';
import { callbackObject, peerService } from '../../../support/rpc-peer.ts';

const RUNS = 300;
const ROOT = 3n;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** Numbers that look like lengths, addresses, codes and types more often than not. */
const word = fc.oneof(
  fc.nat({ max: 64 }),
  fc.constantFrom(0xffffffff, 0x7fffffff, 0x5f504e47, 0x5f4e5446, 0x5f455854, 614_401),
  fc.nat({ max: 0x7fffffff }),
);
const words = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.array(word, { maxLength }).map((list) => Buffer.concat(list.map(u32)));
const token = Buffer.concat([u32(21), Buffer.from('microbuild.test.IPeer\0', 'utf16le')]);

const transaction = fc
  .record({
    address: fc.constantFrom(0n, ROOT, 1n, 4n, ROOT | (1n << 32n)),
    code: fc.oneof({ weight: 4, arbitrary: fc.nat({ max: 30 }) }, word),
    flags: fc.nat({ max: 3 }),
    number: fc.bigInt({ min: 0n, max: 3n }),
    parcel: fc.oneof(
      words(12),
      words(12).map((rest) => Buffer.concat([token, rest])),
    ),
    table: fc.array(fc.nat({ max: 80 }), { maxLength: 3 }),
    cheat: fc.option(word, { freq: 5 }),
  })
  .filter(({ code }) => code !== 14) // bytes without end are another test
  .map(({ address, code, flags, number, parcel, table, cheat }) => {
    const fixed = Buffer.alloc(40);
    fixed.writeBigUInt64LE(address, 0);
    fixed.writeUInt32LE(code >>> 0, 8);
    fixed.writeUInt32LE(flags, 12);
    fixed.writeBigUInt64LE(number, 16);
    fixed.writeUInt32LE(cheat ?? parcel.length, 24);
    return Buffer.concat([fixed, parcel, ...table.map(u32)]);
  });
const frame = fc
  .oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant(0), transaction) },
    { weight: 2, arbitrary: fc.tuple(fc.constantFrom(1, 2), words(8)) },
    { weight: 1, arbitrary: fc.tuple(word, words(8)) },
  )
  .map(([command, body]) => Buffer.concat([u32(command), u32(body.length), Buffer.alloc(8), body]));
const GET_ROOT = Buffer.concat([u32(0), u32(40), Buffer.alloc(8 + 40)]);

const greeting = (version: number): Buffer =>
  Buffer.concat([u32(version), Buffer.alloc(12), Buffer.from('cci\0\0\0\0\0')]);

/** Plays `bytes` to a server. Returns the errors without a code and the sessions that are left: none. */
async function play(bytes: Buffer): Promise<readonly unknown[]> {
  const errors: unknown[] = [];
  const server = new RpcServer({ root: peerService(), onError: (error) => errors.push(error) });
  const [ours, theirs] = duplexPair();
  ours.on('error', () => undefined).resume();
  const accepted = server.accept(theirs);
  ours.end(bytes);
  await accepted;
  for (let i = 0; i < 1000 && server.sessions.length > 0; i++) await sleep(0);
  return [...errors.filter((error) => !(error instanceof MicrobuildError)), ...server.sessions];
}

/** What `run` throws, if it is none of the errors that it may throw. */
function untyped(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    const expected =
      error instanceof FormatError ||
      error instanceof BinderException ||
      error instanceof BinderStatusError;
    return expected ? undefined : error;
  }
}

const DECODERS: readonly ((bytes: Uint8Array) => unknown)[] = [
  (bytes) => RpcConnectionHeader.decode(bytes),
  checkConnectionInit,
  decodeFrameHeader,
  decodeDecStrong,
  ...[0, 1, 2].flatMap((version) => [
    (bytes: Uint8Array) => decodeTransaction(version, bytes),
    (bytes: Uint8Array) => decodeReply(version, bytes),
  ]),
];

test('any bytes decode as a record or are a FormatError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), words(30)), (bytes) => {
      for (const decode of DECODERS) expect(untyped(() => decode(bytes))).toBeUndefined();
    }),
    { numRuns: 2000 },
  );
});

const READS: readonly ((reader: ParcelReader) => unknown)[] = [
  (reader) => reader.int32(),
  (reader) => reader.int64(),
  (reader) => reader.double(),
  (reader) => reader.char(),
  (reader) => reader.byte(),
  (reader) => reader.string16(),
  (reader) => reader.string8(),
  (reader) => reader.byteArray(),
  (reader) => reader.vector((each) => each.string16()),
  (reader) => reader.binder(),
  (reader) => reader.unreadBinders(),
  (reader) => reader.enforceInterface('a.b'),
  readStatus,
];

test('any parcel reads as values or is a FormatError, and never beyond its end', () => {
  const reads = fc.array(fc.nat({ max: READS.length - 1 }), { maxLength: 12 });
  const positions = fc.array(fc.nat({ max: 100 }), { maxLength: 3 });
  fc.assert(
    fc.property(words(24), positions, reads, (data, objects, order) => {
      const reader = new ParcelReader({ data, objects }, 2);
      for (const index of order) {
        expect(untyped(() => READS[index]?.(reader))).toBeUndefined();
        expect(reader.remaining).toBeGreaterThanOrEqual(0);
        expect(reader.remaining).toBeLessThanOrEqual(data.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test('frames that are nearly right end a session of a server, or are answered', async () => {
  const streams = fc.tuple(fc.nat({ max: 2 }), fc.array(frame, { maxLength: 8 }));
  await fc.assert(
    fc.asyncProperty(streams, async ([version, frames]) => {
      const bytes = Buffer.concat([greeting(version), GET_ROOT, ...frames]);
      expect(await play(bytes)).toEqual([]);
    }),
    { numRuns: RUNS },
  );
});

test('frames that are nearly right end a session of a client, or are executed', async () => {
  const rootReply = Buffer.from(
    '01000000280000000000000000000000' +
      '0000000010000000000000000000000000000000' +
      '01000000030000000000000c0c000000' +
      '00000000',
    'hex',
  );
  rootReply.writeBigUInt64LE(ROOT, 40);
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 8 }), async (frames) => {
      const [ours, theirs] = duplexPair();
      theirs.on('error', () => undefined);
      const sink = new PassThrough();
      theirs.pipe(sink).resume();
      theirs.end(Buffer.concat([Buffer.from('0200000000000000', 'hex'), rootReply, ...frames]));
      const client = await openRpcClient(ours).catch((error: unknown) => {
        expect(error).toHaveProperty('code');
      });
      if (client === undefined) return;
      const call = client.root.transact(9, (p) => p.object(callbackObject([])));
      await call.catch((error: unknown) => expect(error).toHaveProperty('code'));
      expect(await client.closed).toHaveProperty('code');
    }),
    { numRuns: RUNS },
  );
});

describe.skipIf(corpus === undefined)('recorded streams', () => {
  test.each(['special_transaction', 'transact_on_binder'])(
    '%s with changed bytes is served or refused',
    async (name) => {
      const recorded = readFileSync(corpusPath('binder', name));
      const changes = fc.array(
        fc.tuple(fc.nat({ max: recorded.length - 1 }), fc.nat({ max: 255 })),
        {
          minLength: 1,
          maxLength: 4,
        },
      );
      await fc.assert(
        fc.asyncProperty(changes, fc.nat({ max: recorded.length }), async (list, end) => {
          const bytes = Buffer.from(recorded);
          for (const [at, value] of list) bytes[at] = value;
          expect(await play(bytes.subarray(0, end))).toEqual([]);
        }),
        { numRuns: RUNS },
      );
    },
  );
});
