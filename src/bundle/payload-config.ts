/**
 * What a payload's configuration file asks for: Android's `VmPayloadConfig`, `assets/vm_config.json` of an APK.
 *
 * Keys that Android does not know are ignored; what the guest would refuse is refused here, by the same rules
 * (guest/manager/src/payload_config.rs), before anything starts.
 *
 * @see AOSP Virtualization libs/libmicrodroid_payload_metadata/config
 */

import { FormatError } from '../core/errors.ts';

/** Where microbuild puts the file in an APK, and the path by which the guest finds it. */
export const PAYLOAD_CONFIG_ENTRY = 'assets/vm_config.json';
/** Of Android: the directory in the guest that shows the payload's APK. */
export const APK_DIRECTORY = '/mnt/apk/';
/** The guest's limit, in bytes. */
export const MAX_PAYLOAD_CONFIG_SIZE = 64 * 1024;

const MAX_ARGUMENTS = 256;

export interface PayloadTask {
  readonly type: 'microdroid_launcher' | 'executable';
  /** The file name of a library, or the absolute path of a program. */
  readonly command: string;
}

export interface PayloadConfig {
  readonly task: PayloadTask;
  readonly extraApkCount: number;
}

const refuse = (why: string, field?: string): FormatError =>
  new FormatError('payload-config', 'bad-value', `Cannot use payload configuration: ${why}`, {
    ...(field !== undefined && { field }),
  });

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse(`${name} must be an object`, name);
  }
  return value as Fields;
}

function text(fields: Fields, key: string): string | undefined {
  const value = own(fields, key);
  if (value === undefined || typeof value === 'string') return value;
  throw refuse(`${key} must be a string`, key);
}

function flag(fields: Fields, key: string, nullable = false): boolean | undefined {
  const value = own(fields, key);
  if (value === undefined || typeof value === 'boolean') return value;
  if (value === null && nullable) return undefined;
  throw refuse(`${key} must be true or false`, key);
}

function list(fields: Fields, key: string): readonly unknown[] {
  const value = own(fields, key);
  if (value === undefined) return [];
  if (Array.isArray(value)) return value as readonly unknown[];
  throw refuse(`${key} must be a list`, key);
}

const own = (fields: Fields, key: string): unknown =>
  Object.hasOwn(fields, key) ? fields[key] : undefined;

/** What stands in Android's file, and what the guest has nothing for. */
const MISSING: Readonly<Record<string, string>> = {
  enable_authfs: 'there is no authfs to reach files of the host',
  prefer_staged: 'there are no APEXes, and so no staged ones',
  run_as_root: 'a payload never runs as root',
  delay_encrypted_store_setup: 'there is no encrypted store',
  dm_default_key: 'there is no encrypted store',
};

function checkSupported(config: Fields): void {
  const os = own(config, 'os');
  if (os !== undefined) {
    const name = text(fieldsOf(os, 'os'), 'name');
    if (name !== '' && name !== 'microdroid') {
      throw refuse(`os.name is ${JSON.stringify(name)}, not microdroid`, 'os.name');
    }
  }
  const [apex] = list(config, 'apexes');
  if (apex !== undefined) {
    const name = text(fieldsOf(apex, 'apexes'), 'name');
    throw refuse(`it asks for the APEX ${name}, and APEXes are not supported`, 'apexes');
  }
  for (const [key, why] of Object.entries(MISSING)) {
    if (flag(config, key) === true) throw refuse(`it asks for ${key}: ${why}`, key);
  }
  if (list(config, 'tenants').length > 0) {
    throw refuse('it names tenants: a machine runs one payload', 'tenants');
  }
  if ((own(config, 'cgroup_config') ?? null) !== null) {
    throw refuse('it asks for cgroup_config: there are no control groups', 'cgroup_config');
  }
  flag(config, 'export_tombstones', true);
  flag(config, 'hugepages');
}

function readTask(task: Fields): PayloadTask {
  const command = text(task, 'command');
  if (command === undefined) throw refuse('task.command is missing', 'task.command');
  const type = text(task, 'type') ?? 'executable';
  if ((own(task, 'selinux_type') ?? null) !== null) {
    throw refuse('the task asks for a selinux_type: there is no SELinux', 'task.selinux_type');
  }
  const { command_args: args = null } = task;
  if (args !== null) checkArguments(args, type);
  switch (type) {
    case 'microdroid_launcher':
      if (/[/\0]/.test(command) || ['', '.', '..'].includes(command)) {
        throw refuse('the command of a library must be its file name', 'task.command');
      }
      return { type, command };
    case 'executable':
      if (
        !/^(?:\/[^/\0]+)+$/.test(command) ||
        command.split('/').some((part) => ['.', '..'].includes(part))
      ) {
        throw refuse('the command of an executable must be an absolute path', 'task.command');
      }
      return { type, command };
    default:
      throw refuse(`task.type is ${JSON.stringify(type)}`, 'task.type');
  }
}

function checkArguments(args: unknown, type: string): void {
  if (type === 'microdroid_launcher') {
    throw refuse('command_args are for executables, not for libraries', 'task.command_args');
  }
  const isArgument = (each: unknown): boolean => typeof each === 'string' && !each.includes('\0');
  if (!Array.isArray(args) || args.length > MAX_ARGUMENTS || !args.every(isArgument)) {
    throw refuse('command_args must be a list of strings', 'task.command_args');
  }
}

/** @throws {FormatError} when the guest would refuse it. */
export function parsePayloadConfig(bytes: Uint8Array): PayloadConfig {
  if (bytes.length > MAX_PAYLOAD_CONFIG_SIZE) {
    throw refuse(`it is larger than ${MAX_PAYLOAD_CONFIG_SIZE} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new FormatError(
      'payload-config',
      'bad-value',
      'Cannot use payload configuration: it is not JSON',
      {
        cause,
      },
    );
  }
  const config = fieldsOf(value, 'the configuration');
  checkSupported(config);
  const extraApks = list(config, 'extra_apks');
  for (const apk of extraApks) {
    if (text(fieldsOf(apk, 'extra_apks'), 'path') === undefined) {
      throw refuse('an extra APK has no path', 'extra_apks');
    }
  }
  const task = own(config, 'task') ?? null;
  if (task === null) throw refuse('No task in VM config', 'task');
  return { task: readTask(fieldsOf(task, 'task')), extraApkCount: extraApks.length };
}
