/** What `microbuild explain` says of a stable name. */

export interface ErrorPage {
  /** What it means, in one or two sentences. */
  readonly meaning: string;
  /** What to do about it. */
  readonly remedy: string;
  /** A message or a command line with it. */
  readonly example: string;
}

/** @param example As it is printed, or as it is typed. */
export const page = (meaning: string, remedy: string, example: string): ErrorPage => ({
  meaning,
  remedy,
  example,
});
