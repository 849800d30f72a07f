/** `run --call`: one call of the payload, checked before anything starts. */

import { UsageError } from '../../core/errors.ts';
import { answerToJson, callMethod, getMethod } from '../../runner/aidl/call.ts';
import { openRpcClient } from '../../runner/rpc/client.ts';
import type { Vm } from '../../runner/session.ts';
import { findInterface, parseArguments, parseMethodName, readInterfaces } from '../interfaces.ts';

export interface PlannedCall {
  readonly description: ReturnType<typeof findInterface>;
  readonly method: string;
  readonly values: readonly unknown[];
  readonly port: number;
}

/**
 * @param wanted `INTERFACE.METHOD`.
 * @param texts The arguments, each as JSON.
 */
export async function planCall(
  wanted: string,
  texts: readonly string[],
  port: number | null,
  interfaces: string,
): Promise<PlannedCall> {
  const { iface, method } = parseMethodName(wanted);
  if (port === null) {
    throw new UsageError('usage', 'Cannot use --call: the bundle names no RPC port', {
      hint: 'Set vm.rpcPort in the recipe',
    });
  }
  const known = await readInterfaces(interfaces);
  return { description: findInterface(known, iface), method, values: parseArguments(texts), port };
}

/** @returns undefined when the machine ended before its payload was ready. */
export async function callWhenReady(
  vm: Vm,
  call: PlannedCall,
): Promise<{ value: unknown; milliseconds: number } | undefined> {
  if (!(await vm.reached('ready'))) return undefined;
  const started = performance.now();
  const client = await openRpcClient(await vm.connect(call.port));
  try {
    const { description, method, values } = call;
    const answer = await callMethod(client.root, description, method, values);
    const value = answerToJson(getMethod(description, method), answer);
    return { value, milliseconds: performance.now() - started };
  } finally {
    client.close();
  }
}
