import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { listVms } from '../../src/runner/registry.ts';
import { startVm, type Vm } from '../../src/runner/session.ts';
import { sweepRegistry } from '../../src/runner/sweep.ts';
import { describeFailure, type Verdict } from '../../src/runner/verdict.ts';
import { commandLine, filesLeft, processesNaming } from '../support/leftovers.ts';
import { openGuestRpc, prepareTiny } from '../support/tiny-vm.ts';

/** Milliseconds after the beginning: from before anything is there to a machine that runs. */
const MOMENTS = [0, 5, 10, 20, 30, 45, 60, 90, 130, 250];

const nothingRuns = (registry: string): Promise<void> =>
  expect.poll(() => processesNaming(registry).map(commandLine), { timeout: 5000 }).toEqual([]);

describe('a runner that is killed', () => {
  test.each(MOMENTS)(
    'leaves nothing running %d ms after its start, and the next look cleans up',
    async (moment) => {
      const { registry, options } = prepareTiny({ end: 'hang' });
      const script = join(registry, '..', 'run.mjs');
      writeFileSync(
        script,
        `import { startVm } from ${JSON.stringify(resolve('dist/runner/session.js'))};
       console.log('begin');
       const vm = await startVm(${JSON.stringify(options)}, { registry: ${JSON.stringify(registry)} });
       await vm.verdict;`,
      );
      const runner = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
      const gone = new Promise((done) => runner.once('exit', done));
      await new Promise((begun) => runner.stdout.once('data', begun));
      await sleep(moment);
      runner.kill('SIGKILL');
      await gone;
      await nothingRuns(registry);
      await sweepRegistry(registry);
      expect(filesLeft(registry)).toEqual([]);
      for (const vm of await listVms(registry)) {
        expect(vm).toMatchObject({
          state: 'DEAD',
          death: 'VIRTUALIZATION_SERVICE_DIED',
          running: false,
        });
      }
      const vm = await startVm(options, { registry });
      await vm.stop();
      expect(filesLeft(registry)).toEqual([]);
    },
  );
});

/** Kills the first process of a run whose command line has `word`, so many milliseconds after it is seen. */
async function killWhenSeen(registry: string, word: string, milliseconds: number): Promise<void> {
  for (;;) {
    // Those that are about to become it have the shell's or setpriv's name before its own.
    const pid = processesNaming(registry).find((each) => {
      const [program = ''] = commandLine(each).split(' ');
      return program.includes(word);
    });
    if (pid !== undefined) {
      await sleep(milliseconds);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Ended by itself before.
      }
      return;
    }
    await sleep(1);
  }
}

const EARLY = [0, 3, 8, 20, 60];
const LATE = ['running', 'started', 'ready', 'failing', 'finished'] as const;

async function bring(vm: Vm, phase: (typeof LATE)[number]): Promise<void> {
  if (phase === 'running') return;
  const guest = await openGuestRpc(vm);
  await guest.notify('notifyPayloadStarted');
  if (phase !== 'started') await guest.notify('notifyPayloadReady');
  if (phase === 'failing') await guest.notify('notifyError', 1, 'wrong signer');
  if (phase === 'finished') await guest.notify('notifyPayloadFinished', 7);
}

function expectClear(outcome: Verdict | Error, reason: RegExp): void {
  if (outcome instanceof Error) expect(outcome.message).toMatch(reason);
  else expect(describeFailure(outcome)).toMatch(reason);
}

describe.each([
  ['QEMU', 'qemu-system', /SIGKILL/, 'KILLED'],
  [
    'the vsock backend',
    'vsock',
    /vsock backend died|did not start|QEMU failed/,
    'INFRASTRUCTURE_ERROR',
  ],
] as const)('%s that is killed', (_name, word, reason, death) => {
  test.each(EARLY)(
    '%d ms after its start ends the run with a clear verdict',
    async (milliseconds) => {
      const { registry, options } = prepareTiny({ end: 'hang' });
      const killed = killWhenSeen(registry, word, milliseconds);
      const outcome = await startVm(options, { registry }).then(
        (vm) => vm.verdict,
        (error: Error) => error,
      );
      await killed;
      expectClear(outcome, reason);
      await nothingRuns(registry);
      expect(filesLeft(registry)).toEqual([]);
    },
  );

  test.each(LATE)('when the payload is %s ends the run with a clear verdict', async (phase) => {
    const { registry, options } = prepareTiny({ end: 'hang' });
    const vm = await startVm(options, { registry });
    await bring(vm, phase);
    await killWhenSeen(registry, word, 0);
    const verdict = await vm.verdict;
    if (phase === 'finished') expect(verdict).toEqual({ kind: 'finished', exitCode: 7, death });
    else if (phase === 'failing') {
      expect(verdict).toMatchObject({ kind: 'refused', message: 'wrong signer' });
    } else {
      expect(verdict).toMatchObject({ kind: 'died', death });
      expectClear(verdict, reason);
    }
    await nothingRuns(registry);
    expect(filesLeft(registry)).toEqual([]);
    expect(await listVms(registry)).toMatchObject([{ state: 'DEAD', running: false }]);
  });
});
