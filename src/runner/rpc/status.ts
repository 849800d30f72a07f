/** The status header that opens every AIDL reply: `binder::Status::writeToParcel`. */

import {
  BinderException,
  EX_HAS_REPLY_HEADER,
  EX_NONE,
  EX_PARCELABLE,
  EX_SERVICE_SPECIFIC,
} from './errors.ts';
import type { ParcelReader } from './parcel-reader.ts';
import type { ParcelWriter } from './parcel-writer.ts';

/** "No exception": the return value and the out parameters follow. */
export function writeOk(reply: ParcelWriter): void {
  reply.int32(EX_NONE);
}

/** Code, message, no remote stack trace, and what the code asks for behind it. */
export function writeException(reply: ParcelWriter, exception: BinderException): void {
  reply.int32(exception.exception).string16(exception.serviceMessage).int32(0);
  if (exception.exception === EX_SERVICE_SPECIFIC) reply.int32(exception.serviceSpecific);
  else if (exception.exception === EX_PARCELABLE) reply.int32(0);
}

/**
 * Reads the header and leaves the reader at the return value.
 *
 * @throws {BinderException} what the service threw.
 * @throws {FormatError} when the header is cut short.
 */
export function readStatus(reply: ParcelReader): void {
  const code = reply.int32();
  if (code === EX_NONE) return;
  if (code === EX_HAS_REPLY_HEADER) {
    skipSized(reply);
    return;
  }
  const message = reply.string16() ?? '';
  skipSized(reply);
  throw new BinderException(code, message, code === EX_SERVICE_SPECIFIC ? reply.int32() : 0);
}

/** A part that starts with its own size, this word included; 0 stands for none. */
function skipSized(reply: ParcelReader): void {
  const size = reply.int32();
  if (size !== 0) reply.skip(size - 4);
}
