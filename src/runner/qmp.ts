/**
 * QEMU's control socket: JSON lines, a greeting first, then replies and events.
 *
 * @see https://www.qemu.org/docs/master/interop/qmp-spec.html
 */

import type { Duplex } from 'node:stream';
import { FormatError, ToolError } from '../core/errors.ts';

/** A longer line is not QEMU. */
const MAX_LINE = 1 << 20;

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

type Message = Readonly<Record<string, unknown>>;

/** Splits text that arrives in any chunks into parsed lines. */
export class QmpLines {
  #rest = '';

  /** @throws {FormatError} for a line that is no JSON object or too long. */
  push(text: string): Message[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE) {
      throw new FormatError('qmp', 'too-large', 'Cannot read QMP: a line does not end');
    }
    return lines.filter((line) => line.trim() !== '').map((line) => parseLine(line));
  }
}

function parseLine(line: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new FormatError('qmp', 'bad-value', 'Cannot read QMP: a line is no JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FormatError('qmp', 'bad-value', 'Cannot read QMP: a line is no object');
  }
  return value as Message;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class QmpClient {
  /** Resolves when the socket is closed and every event has been told. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #lines = new QmpLines();
  readonly #pending: Pending[] = [];
  readonly #onEvent: (event: QmpEvent) => void;

  private constructor(socket: Duplex, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#fail('QEMU closed its control socket'));
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /**
   * Takes over QEMU's socket and leaves the greeting phase.
   *
   * @throws {ToolError} when QEMU goes away.
   */
  static async open(socket: Duplex, onEvent: (event: QmpEvent) => void): Promise<QmpClient> {
    const client = new QmpClient(socket, onEvent);
    await client.execute('qmp_capabilities');
    return client;
  }

  /** @throws {ToolError} when QEMU refuses the command or goes away. */
  execute(command: string): Promise<unknown> {
    if (this.#socket.destroyed) return Promise.reject(failure('QEMU closed its control socket'));
    const reply = new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject });
    });
    this.#socket.write(`${JSON.stringify({ execute: command })}\n`);
    return reply;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    let messages: Message[];
    try {
      messages = this.#lines.push(text);
    } catch {
      this.#socket.destroy();
      return;
    }
    for (const message of messages) {
      const { event, data, error } = message;
      if (typeof event === 'string') {
        const fields = typeof data === 'object' && data !== null ? data : {};
        this.#onEvent({ event, data: fields as Readonly<Record<string, unknown>> });
      } else if (error !== undefined) {
        this.#pending.shift()?.reject(failure(`QEMU refused a command: ${JSON.stringify(error)}`));
      } else if ('return' in message) this.#pending.shift()?.resolve(message['return']);
    }
  }

  #fail(message: string): void {
    for (const pending of this.#pending.splice(0)) pending.reject(failure(message));
  }
}

const failure = (message: string): ToolError =>
  new ToolError(message, { argv: ['qemu'], exitCode: null, signal: null, stderrTail: '' });
