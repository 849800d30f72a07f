/**
 * Android's configuration descriptors: what a stage says about itself in its certificate. The labels
 * are those of the Android Profile for DICE and of AVF (-71000 and below).
 */

import { FormatError } from '../core/errors.ts';
import { type CborKey, type CborValue, decodeCbor, encodeCbor } from './cbor.ts';

const LABEL = {
  componentName: -70002,
  componentVersion: -70003,
  resettable: -70004,
  securityVersion: -70005,
  configPath: -71000,
  payloadConfig: -71001,
  subcomponents: -71002,
  instanceHash: -71003,
} as const;
const PAYLOAD_BINARY = 1;
const SUBCOMPONENT = { name: 1, version: 2, codeHash: 3, authorityHash: 4 } as const;
const PAYLOAD_NAME = 'Microdroid payload';

/** One APK or APEX of the payload. */
export interface Subcomponent {
  /** `apk:` or `apex:` and the package. */
  readonly name: string;
  readonly version: bigint;
  readonly codeHash: Uint8Array;
  /** SHA-512 of the signer's DER certificate. */
  readonly authorityHash: Uint8Array;
}

export interface ConfigDescriptor {
  readonly componentName?: string;
  readonly componentVersion?: number | bigint | string;
  /** The stage's secrets change with a factory reset. */
  readonly resettable?: boolean;
  readonly securityVersion?: bigint;
  /** How the payload was named: the file that configures it, or its library. */
  readonly payload?: { readonly configPath: string } | { readonly binaryName: string };
  readonly subcomponents?: readonly Subcomponent[];
  /** 64 bytes, of the instance that the machine is. */
  readonly instanceHash?: Uint8Array;
}

/** The descriptor of the payload's stage. */
export function payloadDescriptor(
  payload: NonNullable<ConfigDescriptor['payload']>,
  subcomponents: readonly Subcomponent[],
): ConfigDescriptor {
  return { componentName: PAYLOAD_NAME, payload, subcomponents };
}

/** What is not given is left out, empty lists too. */
export function encodeConfigDescriptor(descriptor: ConfigDescriptor): Uint8Array {
  const map = new Map<CborKey, CborValue>();
  const { componentName, componentVersion, securityVersion, instanceHash } = descriptor;
  if (componentName !== undefined) map.set(LABEL.componentName, componentName);
  if (componentVersion !== undefined) map.set(LABEL.componentVersion, componentVersion);
  if (descriptor.resettable === true) map.set(LABEL.resettable, null);
  if (securityVersion !== undefined) map.set(LABEL.securityVersion, securityVersion);
  const { payload, subcomponents = [] } = descriptor;
  if (payload !== undefined) {
    if ('configPath' in payload) map.set(LABEL.configPath, payload.configPath);
    else map.set(LABEL.payloadConfig, new Map([[PAYLOAD_BINARY, payload.binaryName]]));
  }
  if (subcomponents.length > 0) {
    map.set(
      LABEL.subcomponents,
      subcomponents.map(
        ({ name, version, codeHash, authorityHash }) =>
          new Map<CborKey, CborValue>([
            [SUBCOMPONENT.name, name],
            [SUBCOMPONENT.version, version],
            [SUBCOMPONENT.codeHash, codeHash],
            [SUBCOMPONENT.authorityHash, authorityHash],
          ]),
      ),
    );
  }
  if (instanceHash !== undefined) map.set(LABEL.instanceHash, instanceHash);
  return encodeCbor(map);
}

/** Labels that are not known here are passed over. @throws {FormatError} `dice` or `cbor`. */
export function decodeConfigDescriptor(bytes: Uint8Array): ConfigDescriptor {
  const map = decodeCbor(bytes);
  if (!(map instanceof Map)) throw bad('the descriptor is not a map');
  const field = <T extends CborValue>(
    at: ReadonlyMap<CborKey, CborValue>,
    label: number,
    ok: (value: CborValue) => value is T,
  ): T | undefined => {
    const value = at.get(label);
    if (value === undefined) return undefined;
    if (!ok(value)) throw bad(`the value of ${label} is of another type`, String(label));
    return value;
  };
  const need = <T>(value: T | undefined, label: number): T => {
    if (value === undefined) throw bad(`${label} is missing`, String(label));
    return value;
  };
  const version = field(map, LABEL.componentVersion, isVersion);
  const name = field(map, LABEL.componentName, isText);
  const securityVersion = field(map, LABEL.securityVersion, isUnsigned);
  const configPath = field(map, LABEL.configPath, isText);
  const payloadConfig = field(map, LABEL.payloadConfig, isMap);
  const subcomponents = field(map, LABEL.subcomponents, isArray);
  const instanceHash = field(map, LABEL.instanceHash, isBytes);
  if (configPath !== undefined && payloadConfig !== undefined) {
    throw bad('it names a configuration file and a library');
  }
  return {
    ...(name === undefined ? {} : { componentName: name }),
    ...(version === undefined ? {} : { componentVersion: version }),
    ...(field(map, LABEL.resettable, isNull) === undefined ? {} : { resettable: true }),
    ...(securityVersion === undefined ? {} : { securityVersion: BigInt(securityVersion) }),
    ...(configPath === undefined ? {} : { payload: { configPath } }),
    ...(payloadConfig === undefined
      ? {}
      : { payload: { binaryName: need(field(payloadConfig, PAYLOAD_BINARY, isText), 1) } }),
    ...(subcomponents === undefined
      ? {}
      : {
          subcomponents: subcomponents.map((each) => {
            if (!isMap(each)) throw bad('a subcomponent is not a map');
            const { name: at, version: code, codeHash, authorityHash } = SUBCOMPONENT;
            return {
              name: need(field(each, at, isText), at),
              version: BigInt(need(field(each, code, isUnsigned), code)),
              codeHash: need(field(each, codeHash, isBytes), codeHash),
              authorityHash: need(field(each, authorityHash, isBytes), authorityHash),
            };
          }),
        }),
    ...(instanceHash === undefined ? {} : { instanceHash }),
  };
}

const isText = (value: CborValue): value is string => typeof value === 'string';
const isNull = (value: CborValue): value is null => value === null;
const isBytes = (value: CborValue): value is Uint8Array => value instanceof Uint8Array;
const isMap = (value: CborValue): value is ReadonlyMap<CborKey, CborValue> => value instanceof Map;
const isArray = (value: CborValue): value is readonly CborValue[] => Array.isArray(value);
const isUnsigned = (value: CborValue): value is number | bigint =>
  (typeof value === 'number' || typeof value === 'bigint') && value >= 0;
const isVersion = (value: CborValue): value is number | bigint | string =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';

function bad(why: string, field?: string): FormatError {
  const message = `Cannot use configuration descriptor: ${why}`;
  return new FormatError('dice', 'bad-value', message, field === undefined ? {} : { field });
}
