/** What generated TypeScript imports, and what programs use with it. */

export { type LocalBinder, RemoteBinder } from '../rpc/binder.ts';
export { aidlInterface, wrapNullable } from './generated.ts';
export { AidlReader } from './reader.ts';
export { AidlWriter } from './writer.ts';
