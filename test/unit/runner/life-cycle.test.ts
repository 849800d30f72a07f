import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DEATH_REASONS,
  ERROR_CODE_REASONS,
  ERROR_CODES,
  VM_STATES,
  type VmState,
  isDeathReason,
  isForward,
} from '../../../src/runner/life-cycle.ts';
import { ConsoleLog } from '../../../src/runner/console.ts';
import { decideVerdict, type EndedBy, reasonOfExit } from '../../../src/runner/verdict.ts';
import { vmmNamed } from '../../../src/runner/vmm/named.ts';

test('states have Android’s numbers and only go forward', () => {
  expect(VM_STATES).toEqual({
    NOT_STARTED: 0,
    STARTING: 1,
    STARTED: 2,
    READY: 3,
    FINISHED: 4,
    DEAD: 6,
  });
  const states = Object.keys(VM_STATES) as VmState[];
  for (const from of states) {
    expect(isForward(from, from)).toBe(false);
    expect(isForward('DEAD', from)).toBe(false);
    for (const to of states) {
      if (isForward(from, to)) expect(isForward(to, from)).toBe(false);
    }
  }
});

test('reasons of death have Android’s numbers', () => {
  expect(Object.entries(DEATH_REASONS).map(([name, number]) => `${number} ${name}`)).toEqual([
    '-1 VIRTUALIZATION_SERVICE_DIED',
    '0 INFRASTRUCTURE_ERROR',
    '1 KILLED',
    '2 UNKNOWN',
    '3 SHUTDOWN',
    '4 START_FAILED',
    '5 REBOOT',
    '6 CRASH',
    '7 PVM_FIRMWARE_PUBLIC_KEY_MISMATCH',
    '8 PVM_FIRMWARE_INSTANCE_IMAGE_CHANGED',
    '11 MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE',
    '12 MICRODROID_PAYLOAD_HAS_CHANGED',
    '13 MICRODROID_PAYLOAD_VERIFICATION_FAILED',
    '14 MICRODROID_INVALID_PAYLOAD_CONFIG',
    '15 MICRODROID_UNKNOWN_RUNTIME_ERROR',
    '16 HANGUP',
    '17 WATCHDOG_REBOOT',
  ]);
  for (const code of Object.values(ERROR_CODES)) {
    expect(isDeathReason(ERROR_CODE_REASONS[code] ?? '')).toBe(true);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(isDeathReason(text)).toBe(Object.keys(DEATH_REASONS).includes(text));
    }),
  );
});

function death(more: Partial<Parameters<typeof decideVerdict>[0]>, console = ''): string {
  const log = new ConsoleLog();
  log.push(Buffer.from(console));
  log.end();
  return decideVerdict({
    console: log,
    reasonText: '',
    exitCode: undefined,
    error: undefined,
    ended: undefined,
    shutdown: undefined,
    monitor: 'UNKNOWN',
    vmmFailure: undefined,
    ...more,
  }).death;
}

describe('the reason of death', () => {
  test.each([
    ['MICRODROID_PAYLOAD_HAS_CHANGED|x'],
    ['MICRODROID_PAYLOAD_VERIFICATION_FAILED|x'],
    ['MICRODROID_INVALID_PAYLOAD_CONFIG'],
    ['MICRODROID_UNKNOWN_RUNTIME_ERROR|a|b'],
    ['MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE'],
    ['PVM_FIRMWARE_PUBLIC_KEY_MISMATCH'],
  ])('is what the second serial port says: %s', (reasonText) => {
    expect(death({ reasonText, shutdown: 'guest-shutdown' })).toBe(reasonText.split('|')[0]);
  });

  test.each([
    ['guest-shutdown', '', 'SHUTDOWN'],
    ['guest-reset', '', 'REBOOT'],
    ['guest-reset', 'Kernel panic - not syncing: x\n', 'CRASH'],
    ['guest-panic', '', 'CRASH'],
    ['host-qmp-quit', '', 'KILLED'],
    ['host-signal', '', 'KILLED'],
    ['host-error', '', 'INFRASTRUCTURE_ERROR'],
    ['something new', '', 'UNKNOWN'],
  ])('is how it went down (%s) when nothing is said', (shutdown, console, expected) => {
    expect(death({ shutdown }, console)).toBe(expected);
    expect(death({ shutdown, reasonText: 'MICROBUILD_OS_VERIFICATION_FAILED|x' }, console)).toBe(
      expected,
    );
  });

  test.each([
    ['timeout', 'KILLED'],
    ['stopped', 'KILLED'],
    ['aborted', 'KILLED'],
    ['hangup', 'HANGUP'],
    ['panicked', 'CRASH'],
    ['service', 'INFRASTRUCTURE_ERROR'],
  ] as [EndedBy, string][])('is why the runner ended it: %s', (ended, expected) => {
    expect(death({ ended, shutdown: 'host-qmp-quit' })).toBe(expected);
  });

  test('of a payload that finished is that of its machine, whatever was said before', () => {
    const error = { code: 1, message: '' };
    expect(death({ exitCode: 0, error, shutdown: 'guest-shutdown' })).toBe('SHUTDOWN');
  });

  test.each([
    [{ code: null, signal: 'SIGKILL' }, true, 'KILLED'],
    [{ code: null, signal: 'SIGSEGV' }, true, 'CRASH'],
    [{ code: 33, signal: null }, true, 'CRASH'],
    [{ code: 32, signal: null }, true, 'REBOOT'],
    [{ code: 0, signal: null }, true, 'SHUTDOWN'],
    [{ code: 99, signal: null }, true, 'UNKNOWN'],
    [{ code: 99, signal: null }, false, 'START_FAILED'],
  ])('of a monitor that ended with %j (ran: %s) is %s', (exit, ran, expected) => {
    expect(reasonOfExit(exit, vmmNamed('crosvm').exitReasons, ran)).toBe(expected);
  });
});
