/** Names of files beside a recipe, for those who only look for them. */

export const LOCK_FILE = 'microbuild.lock';
