/**
 * The objects that both sides of a session know, by address, and how often each was sent.
 *
 * The owner of an object counts how often it sent it (a call to an address counts as sending it
 * too); the receiver counts how often it came and hands those references back by DEC_STRONG.
 * A node is forgotten when both counts are zero.
 */

import { FormatError } from '../../core/errors.ts';
import { type LocalBinder, RemoteBinder } from './binder.ts';
import { BinderStatusError, STATUS } from './errors.ts';
import { RPC_ADDRESS_CREATED, RPC_ADDRESS_FOR_SERVER, type Transaction } from './wire.ts';

/** From this many queued one-way calls on the session ends, as in libbinder. */
const MAX_PENDING_ONEWAY = 10_000;
/** libbinder's bound on the objects of a session. */
const MAX_NODES = 100_000;

interface Node {
  /** The object of ours, or what gives the peer's proxy for as long as somebody uses it. */
  readonly object: LocalBinder | WeakRef<RemoteBinder>;
  /**
   * Keeps a proxy while a sending of it is not acknowledged: were its references given back before
   * the owner has seen it, the owner would forget the address that is about to arrive.
   */
  held: RemoteBinder | undefined;
  timesSent: number;
  timesReceived: number;
  /** The number of the next one-way call: that we send to a proxy, that an object of ours runs. */
  asyncNumber: bigint;
  readonly waiting: Map<bigint, Transaction>;
  waitingBytes: number;
  /** We are done with this proxy and only wait until the peer acknowledged that we sent it back. */
  released: boolean;
}

export class NodeTable {
  readonly #nodes = new Map<bigint, Node>();
  readonly #addresses = new Map<LocalBinder, bigint>();
  readonly #isServer: boolean;
  readonly #makeProxy: (address: bigint) => RemoteBinder;
  #next = 0;
  #used = false;

  constructor(isServer: boolean, makeProxy: (address: bigint) => RemoteBinder) {
    this.#isServer = isServer;
    this.#makeProxy = makeProxy;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** Whether the last object has gone; a session starts without any. */
  get emptied(): boolean {
    return this.#used && this.#nodes.size === 0;
  }

  /** The proxies that somebody uses. */
  proxies(): RemoteBinder[] {
    return [...this.#nodes.values()].flatMap((node) => {
      const proxy = node.object instanceof WeakRef ? node.object.deref() : undefined;
      return proxy === undefined ? [] : [proxy];
    });
  }

  clear(): void {
    this.#nodes.clear();
    this.#addresses.clear();
  }

  /**
   * Counts one sending of `object` and returns its address.
   *
   * @throws {BinderStatusError} DEAD_OBJECT for a proxy that was released, NO_MEMORY for too many.
   */
  leaving(object: LocalBinder | RemoteBinder): bigint {
    if (object instanceof RemoteBinder) {
      const node = this.#get(object.address);
      if (node.released || !isProxyOf(node, object)) {
        throw new BinderStatusError(STATUS.DEAD_OBJECT);
      }
      node.timesSent++;
      node.held = object;
      return object.address;
    }
    const address = this.#addresses.get(object) ?? this.#addOwn(object);
    this.#get(address).timesSent++;
    return address;
  }

  /**
   * Counts one arrival of `address` in a parcel and returns the object.
   *
   * @throws {BinderStatusError} BAD_VALUE for an address that cannot be.
   * @throws {FormatError} for an object of ours that we never sent: the tables disagree.
   */
  entering(address: bigint): LocalBinder | RemoteBinder {
    const known = this.#nodes.get(address);
    if (known === undefined) this.#checkForeign(address);
    else if (!(known.object instanceof WeakRef)) {
      known.timesReceived++;
      return known.object;
    } else {
      const proxy = known.released ? undefined : known.object.deref();
      if (proxy !== undefined) {
        known.timesReceived++;
        return proxy;
      }
    }
    // A proxy that was released or collected has a successor, which takes its counts over.
    const proxy = this.#makeProxy(address);
    const node = { ...emptyNode(new WeakRef(proxy)), ...countsOf(known) };
    node.timesReceived++;
    this.#nodes.set(address, node);
    this.#used = true;
    return proxy;
  }

  /**
   * Counts a call to `address` and returns the object of ours that it is for.
   *
   * @throws {BinderStatusError} BAD_VALUE for an address that cannot be.
   * @throws {FormatError} for an object that is not ours, or that we never sent.
   */
  called(address: bigint): LocalBinder {
    if (!isPossible(address)) throw new BinderStatusError(STATUS.BAD_VALUE);
    const node = this.#nodes.get(address);
    if (node === undefined || node.object instanceof WeakRef) throw neverSent(address);
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
   * Ends our use of `proxy`; null when it was collected. While the peer has not acknowledged a
   * sending of it, the references stay.
   *
   * @returns How many references to give back.
   */
  release(address: bigint, proxy: RemoteBinder | null): number {
    const node = this.#nodes.get(address);
    if (node === undefined || !(node.object instanceof WeakRef)) return 0;
    const current = node.object.deref();
    if (proxy === null ? current !== undefined : current !== proxy) return 0;
    node.released = true;
    return node.timesSent > 0 ? 0 : this.takeReceived(address);
  }

  /** A DEC_STRONG came. Returns how many references a proxy that waited for it now gives back. */
  decStrong(address: bigint, amount: number): number {
    const node = this.#nodes.get(address);
    if (node === undefined || amount > node.timesSent) return 0;
    node.timesSent -= amount;
    if (node.timesSent > 0) return 0;
    node.held = undefined;
    if (node.released) return this.takeReceived(address);
    this.#dropIfUnused(address, node);
    return 0;
  }

  /** The number of the next one-way call to `address`. */
  nextAsyncNumber(address: bigint): bigint {
    return this.#get(address).asyncNumber++;
  }

  /** Whether a one-way call may run now; one that came early is kept for `nextOneway`. */
  admitOneway(transaction: Transaction): boolean {
    const node = this.#get(transaction.address);
    const { asyncNumber, data } = transaction;
    if (asyncNumber === node.asyncNumber) return true;
    const isNew = asyncNumber > node.asyncNumber && !node.waiting.has(asyncNumber);
    if (!isNew || node.waiting.size + 1 >= MAX_PENDING_ONEWAY) {
      throw new FormatError(
        'binder-rpc',
        'out-of-range',
        `Cannot order one-way call ${asyncNumber}, expected ${node.asyncNumber}`,
        { field: 'asyncNumber' },
      );
    }
    node.waiting.set(asyncNumber, transaction);
    node.waitingBytes += data.length;
    return false;
  }

  /** Bytes of the one-way calls to `address` that wait. */
  waitingBytes(address: bigint): number {
    return this.#nodes.get(address)?.waitingBytes ?? 0;
  }

  /** The one-way call of `address` that follows the one just run, when it is here already. */
  nextOneway(address: bigint): Transaction | undefined {
    const node = this.#nodes.get(address);
    if (node === undefined) return undefined;
    const next = node.waiting.get(++node.asyncNumber);
    if (next !== undefined) {
      node.waiting.delete(node.asyncNumber);
      node.waitingBytes -= next.data.length;
    }
    return next;
  }

  #get(address: bigint): Node {
    const node = this.#nodes.get(address);
    if (node === undefined) throw new BinderStatusError(STATUS.DEAD_OBJECT);
    return node;
  }

  #checkForeign(address: bigint): void {
    if (!isPossible(address)) throw new BinderStatusError(STATUS.BAD_VALUE);
    const isServers = (Number(address & 0xffffffffn) & RPC_ADDRESS_FOR_SERVER) !== 0;
    if (isServers === this.#isServer) throw neverSent(address);
    if (this.#nodes.size >= MAX_NODES) throw new BinderStatusError(STATUS.NO_MEMORY);
  }

  #addOwn(object: LocalBinder): bigint {
    if (this.#nodes.size >= MAX_NODES) throw new BinderStatusError(STATUS.NO_MEMORY);
    const options = RPC_ADDRESS_CREATED | (this.#isServer ? RPC_ADDRESS_FOR_SERVER : 0);
    // There are fewer nodes than numbers, so a free one comes.
    for (;;) {
      const address = BigInt(options) | (BigInt(this.#next) << 32n);
      this.#next = (this.#next + 1) % 2 ** 32;
      if (this.#nodes.has(address)) continue;
      this.#nodes.set(address, emptyNode(object));
      this.#addresses.set(object, address);
      this.#used = true;
      return address;
    }
  }

  #dropIfUnused(address: bigint, node: Node): void {
    if (node.timesSent > 0 || node.timesReceived > 0) return;
    this.#nodes.delete(address);
    if (!(node.object instanceof WeakRef)) this.#addresses.delete(node.object);
  }
}

const emptyNode = (object: Node['object']): Node => ({
  object,
  held: undefined,
  timesSent: 0,
  timesReceived: 0,
  asyncNumber: 0n,
  waiting: new Map(),
  waitingBytes: 0,
  released: false,
});

const countsOf = (
  node: Node | undefined,
): Partial<Pick<Node, 'timesSent' | 'timesReceived' | 'asyncNumber'>> =>
  node === undefined
    ? {}
    : {
        timesSent: node.timesSent,
        timesReceived: node.timesReceived,
        asyncNumber: node.asyncNumber,
      };

const isProxyOf = (node: Node, proxy: RemoteBinder): boolean =>
  node.object instanceof WeakRef && node.object.deref() === proxy;

/** Whether a peer of today could have made the address. */
const isPossible = (address: bigint): boolean =>
  (Number(address & 0xffffffffn) & ~(RPC_ADDRESS_CREATED | RPC_ADDRESS_FOR_SERVER)) === 0;

const neverSent = (address: bigint): FormatError =>
  new FormatError(
    'binder-rpc',
    'bad-value',
    `Cannot find object 0x${address.toString(16)}: it was never sent`,
    { field: 'address' },
  );
