/** The virtio serial of a disk, by which the guest finds it. */

/** @throws {RangeError} for one that virtio cannot hold (20 bytes), or that a monitor would read as options. */
export function checkSerial(serial: string): string {
  if (/^[A-Za-z0-9_-]{1,20}$/.test(serial)) return serial;
  throw new RangeError(`Cannot use "${serial}" as a disk serial`);
}

/** @throws {RangeError} for a path in which a monitor without an escape would see the end of it. */
export function checkPath(path: string): string {
  if (!/[,"\n]/.test(path)) return path;
  throw new RangeError(
    `Cannot use "${path}": this monitor takes no path with a comma, quote or newline`,
  );
}
