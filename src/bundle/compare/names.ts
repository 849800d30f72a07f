/** Names for things of which several may have one: the second `x` is `x #2`. */

/**
 * A function that gives each of a list its own name, in time that does not grow with how often one comes again. What is
 * literally named `x #2` keeps its name where it comes first; where that name is taken, the next free number is.
 */
export function createNamer(): (name: string) => string {
  const taken = new Set<string>();
  const last = new Map<string, number>();
  return (name) => {
    let own = name;
    if (taken.has(own)) {
      let count = last.get(name) ?? 1;
      // Each name that is literally numbered is passed over once.
      do own = `${name} #${(count += 1)}`;
      while (taken.has(own));
      last.set(name, count);
    }
    taken.add(own);
    return own;
  };
}
