/** How a run ended, and what that means for the exit code. */

import { LABELS } from '../bundle/layout.ts';
import type { ConsoleLog } from './console.ts';
import { sanitize } from './console.ts';
import {
  DEATH_REASONS,
  type DeathReason,
  ERROR_CODE_REASONS,
  isDeathReason,
} from './life-cycle.ts';

/** The exit codes of `run` beside the payload's own. */
export const EXIT_TIMEOUT = 124;
export const EXIT_RUNNER_FAILED = 125;
export const EXIT_REFUSED = 126;

/** How it ended; `death` is Android's word for it. */
export type Verdict = { readonly death: DeathReason } & Ending;

type Ending =
  | { readonly kind: 'finished'; readonly exitCode: number }
  | {
      readonly kind: 'refused';
      readonly reason: string;
      /** The broken link of the chain of trust, as the guest named it. */
      readonly link: string;
      readonly message: string;
      readonly consoleTail: readonly string[];
    }
  | {
      readonly kind: 'died';
      readonly reason: string;
      readonly consoleTail: readonly string[];
      /** The last phase the guest reached; undefined when it said none. */
      readonly phase: string | undefined;
    }
  | {
      readonly kind: 'timeout';
      readonly consoleTail: readonly string[];
      readonly phase: string | undefined;
    };

/** The reasons by which a guest refuses to run a payload; other reasons are failures of the guest. */
const REFUSALS: Readonly<Record<string, string>> = {
  MICROBUILD_OS_VERIFICATION_FAILED: 'system',
  MICRODROID_PAYLOAD_VERIFICATION_FAILED: 'payload-signature',
  MICRODROID_PAYLOAD_HAS_CHANGED: 'payload-signature',
  MICRODROID_INVALID_PAYLOAD_CONFIG: 'payload-config',
};

/** Which link of the chain a partition under dm-verity is. */
function linkOf(partition: string): string {
  if (partition === LABELS.system) return 'system';
  // The slot marks what is on the system's disk.
  if (partition.endsWith('_a')) return 'partition';
  return partition === LABELS.apk || /^extra-apk-\d+$/.test(partition) ? 'idsig' : partition;
}

/** Everything that was seen of a run, from which the verdict is drawn. */
export interface Evidence {
  readonly console: ConsoleLog;
  /** The text of the second serial port: `REASON` or `REASON|text`. */
  readonly reasonText: string;
  /** From notifyPayloadFinished. */
  readonly exitCode: number | undefined;
  /** From notifyError. */
  readonly error: { readonly code: number; readonly message: string } | undefined;
  /** Why the runner itself ended it: it wins over what the guest did meanwhile. */
  readonly ended: EndedBy | undefined;
  /** QMP's SHUTDOWN reason: `guest-shutdown`, `guest-reset`, `guest-panic`, `host-...`. */
  readonly shutdown: string | undefined;
  /** How the monitor's process ended, in Android's words, where nothing better is known. */
  readonly monitor: DeathReason;
  /** What the monitor printed when it failed. */
  readonly vmmFailure: string | undefined;
}

/** What makes the runner end a machine. `service` is that its vsock backend died. */
export type EndedBy = 'timeout' | 'stopped' | 'aborted' | 'hangup' | 'panicked' | 'service';

/**
 * Draws the verdict. An exit code that the guest reported counts before anything else; a corrupt
 * block counts before the panic that it caused; what the guest says counts before how it went down.
 */
export function decideVerdict(evidence: Evidence): Verdict {
  return { ...decideEnding(evidence), death: decideDeath(evidence) };
}

/**
 * Android's reason: what the guest wrote to its second serial port or said over RPC, else how it went
 * down. Texts that are none of Android's reasons do not count, as with virtmgr.
 */
function decideDeath(evidence: Evidence): DeathReason {
  const { exitCode, ended, shutdown, console, monitor } = evidence;
  const said = exitCode === undefined ? stated(evidence)?.reason : undefined;
  if (said !== undefined && isDeathReason(said)) return said;
  if (ended === 'hangup') return 'HANGUP';
  if (ended === 'service') return 'INFRASTRUCTURE_ERROR';
  if (ended === 'panicked') return 'CRASH';
  if (ended !== undefined) return 'KILLED';
  switch (shutdown) {
    case undefined:
      return monitor;
    case 'guest-shutdown':
      return 'SHUTDOWN';
    case 'guest-reset':
    case 'subsystem-reset':
      return console.panic === undefined ? 'REBOOT' : 'CRASH';
    case 'guest-panic':
      return 'CRASH';
    case 'host-error':
      return 'INFRASTRUCTURE_ERROR';
    default:
      return shutdown.startsWith('host-') ? 'KILLED' : 'UNKNOWN';
  }
}

/** Signals by which processes are ended on purpose; others mean that something went wrong in them. */
const KILLING: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']);

/**
 * The reason of death by the end of the monitor's process alone.
 *
 * @param exitReasons What the monitor's exit codes mean.
 * @param ran Whether the machine had been running.
 */
export function reasonOfExit(
  { code, signal }: { readonly code: number | null; readonly signal: string | null },
  exitReasons: Readonly<Record<number, DeathReason>>,
  ran: boolean,
): DeathReason {
  if (signal !== null) return KILLING.has(signal) ? 'KILLED' : 'CRASH';
  return exitReasons[code ?? -1] ?? (ran ? 'UNKNOWN' : 'START_FAILED');
}

function decideEnding(evidence: Evidence): Ending {
  const { console, exitCode, ended } = evidence;
  const consoleTail = console.tail();
  const { phase } = console;
  if (exitCode !== undefined) return { kind: 'finished', exitCode };
  if (ended === 'timeout') return { kind: 'timeout', consoleTail, phase };
  const said = stated(evidence);
  if (said !== undefined && said.reason in REFUSALS) {
    const link = console.refusal?.link ?? REFUSALS[said.reason] ?? 'unknown';
    return { kind: 'refused', reason: said.reason, link, message: said.message, consoleTail };
  }
  const { corruption } = console;
  if (corruption !== undefined) {
    const { device, block, tree } = corruption;
    const partition = console.partitionOf(device) ?? device;
    const link = linkOf(partition);
    const message = `dm-verity: ${partition}: ${tree ? 'hash tree' : 'data'} block ${block} is corrupted`;
    return { kind: 'refused', reason: 'DM_VERITY_CORRUPTION', link, message, consoleTail };
  }
  return { kind: 'died', reason: deathReason(evidence, said), consoleTail, phase };
}

interface Stated {
  readonly reason: string;
  readonly message: string;
}

/** The reason the guest gave, from the most to the least reliable way of giving it. */
function stated({ console, error, reasonText }: Evidence): Stated | undefined {
  if (error !== undefined) {
    const reason = ERROR_CODE_REASONS[error.code] ?? `ERROR_${error.code}`;
    return { reason, message: sanitize(error.message) };
  }
  const [reason = '', ...rest] = reasonText.trim().split('|');
  if (/^[A-Z_]{1,80}$/.test(reason)) return { reason, message: sanitize(rest.join('|')) };
  const { refusal } = console;
  return refusal && { reason: refusal.reason, message: sanitize(refusal.message) };
}

function deathReason(evidence: Evidence, said: Stated | undefined): string {
  const { ended, vmmFailure, shutdown, console } = evidence;
  if (ended === 'stopped') return 'it was stopped';
  if (ended === 'service') return 'its vsock backend died';
  if (ended === 'aborted') return 'the run was interrupted';
  if (said !== undefined)
    return said.message === '' ? said.reason : `${said.reason}: ${said.message}`;
  if (vmmFailure !== undefined) return vmmFailure;
  if (console.panic !== undefined) return `kernel panic: ${sanitize(console.panic)}`;
  if (ended === 'hangup') return 'the guest did not start its payload in time';
  if (shutdown === 'guest-shutdown') return 'the guest powered off without a result';
  if (shutdown === 'guest-reset' || shutdown === 'guest-panic') {
    return 'the guest reset itself without a reason';
  }
  return `the machine ended (${shutdown ?? evidence.monitor})`;
}

/** The exit code of `run`; a payload's code is taken modulo 256, as the system would. */
export function verdictExitCode(verdict: Verdict): number {
  switch (verdict.kind) {
    case 'finished':
      return verdict.exitCode & 0xff;
    case 'timeout':
      return EXIT_TIMEOUT;
    case 'refused':
      return EXIT_REFUSED;
    case 'died':
      return EXIT_RUNNER_FAILED;
  }
}

/** A failure in words: what happened, how far the guest came, and its last console lines. */
export function describeFailure(verdict: Verdict): string {
  if (verdict.kind === 'finished') return `The payload finished with exit code ${verdict.exitCode}`;
  const death = `  death reason: ${verdict.death} (${DEATH_REASONS[verdict.death]})`;
  const lines: string[] = [];
  if (verdict.kind === 'refused') {
    lines.push(`The guest refused to run (${verdict.reason})`);
    lines.push(`  broken link: ${verdict.link}`);
    if (verdict.message !== '') lines.push(`  ${verdict.message}`);
    lines.push(death);
  } else {
    lines.push(
      verdict.kind === 'timeout'
        ? 'The run took longer than it may'
        : `The virtual machine died: ${verdict.reason}`,
    );
    lines.push(
      `  phase reached: ${verdict.phase ?? 'none, the guest printed nothing of its own'}`,
      death,
    );
  }
  if (verdict.consoleTail.length > 0) {
    lines.push('  last console lines:', ...verdict.consoleTail.map((line) => `    ${line}`));
  }
  return lines.join('\n');
}
