/** Names are bytes to the system, and text to people. */

/** Whether bytes are the UTF-8 of the text that they were decoded to. */
export function isTextOf(text: string, bytes: () => Uint8Array): boolean {
  // What cannot be decoded becomes U+FFFD.
  return !text.includes('\ufffd') || Buffer.from(text).equals(bytes());
}
