/** A promise that others wait for and that is settled from outside; the first time counts. */
export interface Settleable {
  readonly promise: Promise<boolean>;
  settle(value: boolean): void;
}

export function settleable(): Settleable {
  const settlers: ((value: boolean) => void)[] = [];
  const promise = new Promise<boolean>((resolve) => settlers.push(resolve));
  return { promise, settle: (value) => settlers.forEach((settler) => settler(value)) };
}
