/**
 * The objects that both sides of a session know, by address, and how often each was sent.
 *
 * The owner of an object counts how often it sent it (a transaction to an address counts as sending
 * it too); the receiver counts how often it came and hands those references back by DEC_STRONG.
 * A node is forgotten when both counts are zero.
 */

import { FormatError } from '../../core/errors.ts';
import { type LocalBinder, RemoteBinder } from './binder.ts';
import { BinderStatusError, STATUS } from './errors.ts';
import { RPC_ADDRESS_CREATED, RPC_ADDRESS_FOR_SERVER, type Transaction } from './wire.ts';

/** More queued one-way calls than this end the session, as in libbinder. */
const MAX_PENDING_ONEWAY = 10_000;
/** An honest peer of ours sends a handful of objects; the bound keeps a hostile one small. */
const MAX_NODES = 100_000;

interface Node {
  readonly object: LocalBinder | RemoteBinder;
  timesSent: number;
  timesReceived: number;
  /** The next number of the one-way calls that we send to it, and that we run. */
  asyncOut: bigint;
  asyncIn: bigint;
  readonly waiting: Map<bigint, Transaction>;
  /** We are done with this proxy and only wait until the peer acknowledged that we sent it back. */
  released: boolean;
}

export class NodeTable {
  readonly #nodes = new Map<bigint, Node>();
  readonly #addresses = new Map<LocalBinder | RemoteBinder, bigint>();
  readonly #isServer: boolean;
  readonly #makeProxy: (address: bigint) => RemoteBinder;
  #next = 0n;

  constructor(isServer: boolean, makeProxy: (address: bigint) => RemoteBinder) {
    this.#isServer = isServer;
    this.#makeProxy = makeProxy;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** Counts one sending of `object` and returns its address. */
  leaving(object: LocalBinder | RemoteBinder): bigint {
    const known = this.#addresses.get(object);
    if (known !== undefined) {
      this.#get(known).timesSent++;
      return known;
    }
    if (object instanceof RemoteBinder) throw new BinderStatusError(STATUS.DEAD_OBJECT);
    const options = RPC_ADDRESS_CREATED | (this.#isServer ? RPC_ADDRESS_FOR_SERVER : 0);
    const address = BigInt(options) | (this.#next++ << 32n);
    this.#add(address, object).timesSent = 1;
    return address;
  }

  /**
   * Counts one arrival of `address` and returns the object.
   *
   * @throws {BinderStatusError} BAD_VALUE for an address that cannot be.
   * @throws {FormatError} for an object of ours that we never sent: the tables disagree.
   */
  entering(address: bigint): LocalBinder | RemoteBinder {
    let node = this.#nodes.get(address);
    if (node === undefined) {
      const options = Number(address & 0xffffffffn);
      const known = RPC_ADDRESS_CREATED | RPC_ADDRESS_FOR_SERVER;
      if ((options & ~known) !== 0) throw new BinderStatusError(STATUS.BAD_VALUE);
      if (((options & RPC_ADDRESS_FOR_SERVER) !== 0) === this.#isServer) {
        throw new FormatError(
          'binder-rpc',
          'bad-value',
          `Cannot find object 0x${address.toString(16)}: it was never sent`,
          { field: 'address' },
        );
      }
      if (this.#nodes.size >= MAX_NODES) throw new BinderStatusError(STATUS.NO_MEMORY);
      node = this.#add(address, this.#makeProxy(address));
    }
    node.timesReceived++;
    return node.object;
  }

  /** Hands received references back: how many a DEC_STRONG must name, 0 for none. */
  takeReceived(address: bigint): number {
    const node = this.#nodes.get(address);
    if (node === undefined) return 0;
    const amount = node.timesReceived;
    node.timesReceived = 0;
    this.#dropIfUnused(address, node);
    return amount;
  }

  /**
   * Ends our use of a proxy. While the peer has not acknowledged a sending of it, the references
   * stay: were they given back first, the owner would forget the address that is still under way.
   */
  release(address: bigint): number {
    const node = this.#nodes.get(address);
    if (node === undefined) return 0;
    node.released = true;
    return node.timesSent > 0 ? 0 : this.takeReceived(address);
  }

  /** A DEC_STRONG came. Returns how many references a proxy that waited for it now gives back. */
  decStrong(address: bigint, amount: number): number {
    const node = this.#nodes.get(address);
    if (node === undefined || amount > node.timesSent) return 0;
    node.timesSent -= amount;
    if (node.timesSent === 0 && node.released) return this.takeReceived(address);
    this.#dropIfUnused(address, node);
    return 0;
  }

  /** The number of the next one-way call to `address`. */
  nextAsyncNumber(address: bigint): bigint {
    return this.#get(address).asyncOut++;
  }

  /** Whether a one-way call may run now; one that came early is kept for `nextOneway`. */
  admitOneway(transaction: Transaction): boolean {
    const node = this.#get(transaction.address);
    if (transaction.asyncNumber === node.asyncIn) return true;
    if (node.waiting.size >= MAX_PENDING_ONEWAY || transaction.asyncNumber < node.asyncIn) {
      throw new FormatError(
        'binder-rpc',
        'out-of-range',
        `Cannot order one-way call ${transaction.asyncNumber}, expected ${node.asyncIn}`,
        { field: 'asyncNumber' },
      );
    }
    node.waiting.set(transaction.asyncNumber, transaction);
    return false;
  }

  /** The one-way call of `address` that follows the one just run, when it is here already. */
  nextOneway(address: bigint): Transaction | undefined {
    const node = this.#nodes.get(address);
    if (node === undefined) return undefined;
    const next = node.waiting.get(++node.asyncIn);
    node.waiting.delete(node.asyncIn);
    return next;
  }

  #get(address: bigint): Node {
    const node = this.#nodes.get(address);
    if (node === undefined) throw new BinderStatusError(STATUS.DEAD_OBJECT);
    return node;
  }

  #add(address: bigint, object: LocalBinder | RemoteBinder): Node {
    const node: Node = {
      object,
      timesSent: 0,
      timesReceived: 0,
      asyncOut: 0n,
      asyncIn: 0n,
      waiting: new Map(),
      released: false,
    };
    this.#nodes.set(address, node);
    this.#addresses.set(object, address);
    return node;
  }

  #dropIfUnused(address: bigint, node: Node): void {
    if (node.timesSent > 0 || node.timesReceived > 0) return;
    this.#nodes.delete(address);
    this.#addresses.delete(node.object);
  }
}
