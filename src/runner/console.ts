/** What the guest says on its serial console, and what of it the runner understands. */

/** The lines kept for a failure report, and how much of each. */
const KEPT_LINES = 200;
const MAX_LINE = 1000;

export type ConsoleFact =
  | { readonly kind: 'phase'; readonly phase: string; readonly milliseconds: number }
  | {
      readonly kind: 'refused';
      readonly reason: string;
      readonly link: string;
      readonly message: string;
    }
  | {
      readonly kind: 'corruption';
      /** Kernel device number of the data; a `verity` line before it said which partition that is. */
      readonly device: string;
      readonly block: number;
      readonly tree: boolean;
    }
  | {
      readonly kind: 'verity';
      /** The device that holds the data, and the label of its partition. */
      readonly device: string;
      readonly label: string;
    }
  | { readonly kind: 'panic'; readonly message: string };

const PREFIX = /^(?:\[\s*\d+\.\d+\](?:\[\s*T\d+\])? )?/;
const PHASE = /^microbuild: phase ([a-z]{1,20}) \+(\d{1,12})$/;
const REFUSED = /^microbuild: refused ([A-Z_]{1,80}) ([a-z-]{1,40}): (.*)$/;
const CORRUPTION =
  /^device-mapper: verity: (\d+:\d+): (data|metadata) block (\d{1,15}) is corrupted/;
const VERITY = /^microbuild: verity (\d+:\d+) ([a-z0-9_-]{1,36})$/;
const PANIC = /^Kernel panic - not syncing: (.*)$/;

/** The meaning of one line, if it has any for us. */
export function parseConsoleLine(line: string): ConsoleFact | undefined {
  const text = line.replace(PREFIX, '').trimEnd();
  const [, phase, milliseconds] = PHASE.exec(text) ?? [];
  if (phase !== undefined) return { kind: 'phase', phase, milliseconds: Number(milliseconds) };
  const [, reason, link, message] = REFUSED.exec(text) ?? [];
  if (reason !== undefined && link !== undefined) {
    return { kind: 'refused', reason, link, message: message ?? '' };
  }
  const [, device, tree, block] = CORRUPTION.exec(text) ?? [];
  if (device !== undefined) {
    return { kind: 'corruption', device, block: Number(block), tree: tree === 'metadata' };
  }
  const [, data, label] = VERITY.exec(text) ?? [];
  if (data !== undefined && label !== undefined) return { kind: 'verity', device: data, label };
  const [, panic] = PANIC.exec(text) ?? [];
  return panic === undefined ? undefined : { kind: 'panic', message: panic };
}

/** Follows console output that arrives in any chunks; holds a bounded tail of it. */
export class ConsoleLog {
  readonly #decoder = new TextDecoder();
  readonly #tail: string[] = [];
  readonly #onFact: (fact: ConsoleFact) => void;
  #partial = '';
  #phase: string | undefined;
  #refusal: Extract<ConsoleFact, { kind: 'refused' }> | undefined;
  #corruption: Extract<ConsoleFact, { kind: 'corruption' }> | undefined;
  #panic: string | undefined;
  readonly #devices = new Map<string, string>();

  constructor(onFact: (fact: ConsoleFact) => void = () => undefined) {
    this.#onFact = onFact;
  }

  /** The last phase the guest named. */
  get phase(): string | undefined {
    return this.#phase;
  }

  /** The first of each counts: what follows a failure is its consequence. */
  get refusal(): Extract<ConsoleFact, { kind: 'refused' }> | undefined {
    return this.#refusal;
  }

  get corruption(): Extract<ConsoleFact, { kind: 'corruption' }> | undefined {
    return this.#corruption;
  }

  /** The partition that a device holds, as the guest said when it mapped it. */
  partitionOf(device: string): string | undefined {
    return this.#devices.get(device);
  }

  get panic(): string | undefined {
    return this.#panic;
  }

  push(chunk: Uint8Array): void {
    const lines = (this.#partial + this.#decoder.decode(chunk, { stream: true })).split(/\r?\n/);
    this.#partial = (lines.pop() ?? '').slice(-MAX_LINE);
    for (const line of lines) this.#line(line.slice(0, MAX_LINE));
  }

  /** The output has ended: a last line without a newline counts too. */
  end(): void {
    if (this.#partial !== '') this.#line(this.#partial);
    this.#partial = '';
  }

  /** The last lines, safe for a terminal. */
  tail(count = 20): readonly string[] {
    return this.#tail.slice(-count);
  }

  #line(line: string): void {
    const fact = parseConsoleLine(line);
    if (fact?.kind === 'phase') this.#phase = fact.phase;
    else if (fact?.kind === 'refused') this.#refusal ??= fact;
    else if (fact?.kind === 'corruption') this.#corruption ??= fact;
    else if (fact?.kind === 'panic') this.#panic ??= fact.message;
    else if (fact?.kind === 'verity') this.#devices.set(fact.device, fact.label);
    // The stack trace behind a panic would push out the lines that led to it.
    if (this.#panic === undefined || fact?.kind === 'panic') {
      this.#tail.push(sanitize(line));
      if (this.#tail.length > KEPT_LINES) this.#tail.shift();
    }
    if (fact !== undefined) this.#onFact(fact);
  }
}

/** Text of a guest for a terminal: control characters could do more than be seen. */
export function sanitize(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (control) => (control === '\t' ? ' ' : '\ufffd'));
}
