/** Reads the recorded runs of avbtool 1.3.0 and plays their inputs and arguments. */

import { readFileSync } from 'node:fs';
import { corpusPath } from '../../support/corpus.ts';

export interface GoldenStep {
  readonly argv: readonly string[];
  readonly rc: number;
  readonly stdout: string;
}

export interface GoldenOutput {
  readonly size: number;
  readonly sha256: string;
  readonly footer_hex?: string;
  readonly original_size?: number;
  readonly vbmeta_offset?: number;
  readonly vbmeta_size?: number;
  readonly vbmeta_sha256?: string;
}

type GoldenInput =
  | { readonly gen: { readonly size: number; readonly start_byte: number } }
  | { readonly copy_of: string }
  | { readonly hex: string };

export interface GoldenCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, GoldenInput>>;
  readonly steps: readonly GoldenStep[];
  readonly outputs: Readonly<Record<string, GoldenOutput>>;
}

export function goldenCases(): GoldenCase[] {
  return JSON.parse(readFileSync(corpusPath('avb/golden/cases.json'), 'utf8')) as GoldenCase[];
}

export function goldenInput(input: GoldenInput): Uint8Array {
  if ('gen' in input) {
    const { size, start_byte: start } = input.gen;
    return Uint8Array.from({ length: size }, (_, index) => (start + index) & 0xff);
  }
  if ('hex' in input) return new Uint8Array(Buffer.from(input.hex, 'hex'));
  return new Uint8Array(readFileSync(corpusPath('avb', input.copy_of)));
}

/** The options of one command line, in order; a flag without value has none. */
export class Arguments {
  readonly verb: string;
  readonly #options: { readonly name: string; readonly value: string | undefined }[] = [];
  readonly #used = new Set<string>();

  constructor(argv: readonly string[]) {
    const [verb = '', ...rest] = argv;
    this.verb = verb;
    for (let at = 0; at < rest.length; at++) {
      const name = (rest[at] ?? '').replace(/^--/, '');
      const next = rest[at + 1];
      // A value never begins with two dashes; an empty one is an empty salt.
      const value = next !== undefined && !next.startsWith('--') ? next : undefined;
      if (value !== undefined) at++;
      this.#options.push({ name, value });
    }
  }

  flag(name: string): boolean {
    this.#used.add(name);
    return this.#options.some((option) => option.name === name);
  }

  all(name: string): string[] {
    this.#used.add(name);
    return this.#options.flatMap((option) => (option.name === name ? [option.value ?? ''] : []));
  }

  one(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  has(name: string): boolean {
    return this.#options.some((option) => option.name === name);
  }

  /** Names that nothing asked for: an option that we do not have must not be dropped in silence. */
  unused(): string[] {
    return this.#options.map(({ name }) => name).filter((name) => !this.#used.has(name));
  }
}
