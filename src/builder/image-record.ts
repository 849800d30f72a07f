/**
 * What is known of the image of a partition: with it and the image itself the next one is made quickly.
 */

export interface ImageRecord {
  readonly schemaVersion: 1;
  /** Where in its file the image starts, in bytes. */
  readonly offset: number;
  /** Of the file system, in bytes. */
  readonly size: number;
}
