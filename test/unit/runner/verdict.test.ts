import { expect, test } from 'vitest';
import { ConsoleLog } from '../../../src/runner/console.ts';
import {
  type Evidence,
  decideVerdict,
  describeFailure,
  verdictExitCode,
} from '../../../src/runner/verdict.ts';

function evidence(console: string, rest: Partial<Evidence> = {}): Evidence {
  const log = new ConsoleLog();
  log.push(Buffer.from(console));
  log.end();
  return {
    console: log,
    reasonText: '',
    exitCode: undefined,
    error: undefined,
    ended: undefined,
    shutdown: 'guest-shutdown',
    monitor: 'SHUTDOWN',
    vmmFailure: undefined,
    ...rest,
  };
}

const CORRUPT =
  'microbuild: verity 254:2 system_a\n' +
  'device-mapper: verity: 254:2: data block 7 is corrupted\nKernel panic - not syncing: x\n';

test.each<[string, Evidence, object, number]>([
  ['an exit code', evidence('', { exitCode: 3 }), { kind: 'finished', exitCode: 3 }, 3],
  ['a negative exit code', evidence('', { exitCode: -1 }), { kind: 'finished' }, 255],
  [
    'an exit code before the power-off was forced',
    evidence('', { exitCode: 0, ended: 'stopped' }),
    { kind: 'finished' },
    0,
  ],
  ['a time limit', evidence('', { ended: 'timeout' }), { kind: 'timeout' }, 124],
  [
    'a reason on the second serial port',
    evidence('', { reasonText: 'MICRODROID_INVALID_PAYLOAD_CONFIG|no library' }),
    { kind: 'refused', link: 'payload-config', message: 'no library' },
    126,
  ],
  [
    'a failure to reach the host',
    evidence('', { reasonText: 'MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE|x' }),
    { kind: 'died' },
    125,
  ],
  [
    'an unknown runtime error',
    evidence('', { error: { code: 0, message: 'oops' } }),
    { kind: 'died', reason: 'MICRODROID_UNKNOWN_RUNTIME_ERROR: oops' },
    125,
  ],
  [
    'a console line alone',
    evidence('microbuild: refused MICROBUILD_OS_VERIFICATION_FAILED vbmeta: size\n'),
    { kind: 'refused', link: 'vbmeta', message: 'size' },
    126,
  ],
  [
    'a corrupt block of the system',
    evidence(CORRUPT, { shutdown: 'guest-reset' }),
    { kind: 'refused', link: 'system', reason: 'DM_VERITY_CORRUPTION' },
    126,
  ],
  [
    'a corrupt block of a further partition',
    evidence(`microbuild: verity 254:3 vendor_a\n${CORRUPT.replace('254:2:', '254:3:')}`),
    { kind: 'refused', link: 'partition', reason: 'DM_VERITY_CORRUPTION' },
    126,
  ],
  [
    'a corrupt block of another device',
    evidence(CORRUPT.replace('254:2:', '254:9:')),
    { kind: 'refused', link: '254:9' },
    126,
  ],
  [
    'a panic',
    evidence('Kernel panic - not syncing: VFS\n', { shutdown: 'guest-reset' }),
    { kind: 'died', reason: 'kernel panic: VFS' },
    125,
  ],
  [
    'a monitor that failed',
    evidence('', { shutdown: undefined, vmmFailure: 'QEMU failed' }),
    { kind: 'died', reason: 'QEMU failed' },
    125,
  ],
  [
    'an interruption',
    evidence('', { ended: 'aborted', shutdown: 'host-qmp-quit' }),
    { kind: 'died', reason: 'the run was interrupted' },
    125,
  ],
  [
    'a host that pulled the plug',
    evidence('', { shutdown: 'host-signal' }),
    { kind: 'died', reason: 'the machine ended (host-signal)' },
    125,
  ],
  [
    'text that is no reason',
    evidence('', { reasonText: 'junk\u001b\n' }),
    { kind: 'died', reason: 'the guest powered off without a result' },
    125,
  ],
])('%s is judged', (_name, given, verdict, exitCode) => {
  expect(decideVerdict(given)).toMatchObject(verdict);
  expect(verdictExitCode(decideVerdict(given))).toBe(exitCode);
});

test('a failure is told with its phase and its last lines', () => {
  const verdict = decideVerdict(
    evidence('microbuild: phase vbmeta +3\nlast\n', { ended: 'timeout' }),
  );
  expect(describeFailure(verdict)).toBe(
    'The run took longer than it may\n  phase reached: vbmeta\n  death reason: KILLED (1)\n  last console lines:\n' +
      '    microbuild: phase vbmeta +3\n    last',
  );
});
