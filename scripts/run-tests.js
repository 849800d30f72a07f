// Runs the checks, vitest and the guest's cargo tests one after another and adds up what they report:
// the closing line counts every test of the project, and a runner that fails to run counts as a failure.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const SLOW_SECONDS = 8;
const total = { passed: 0, failed: 0, skipped: 0 };
const started = Date.now();
const folder = mkdtempSync(join(tmpdir(), 'microbuild-suite-'));

/** Runs a program with its output shown; returns its exit code. */
function run(title, program, args, options = {}) {
  process.stdout.write(`\n== ${title}\n`);
  const { status, error } = spawnSync(program, args, { stdio: 'inherit', ...options });
  if (error) process.stdout.write(`${program}: ${error.message}\n`);
  return status ?? 1;
}

function vitest() {
  const report = join(folder, 'vitest.json');
  const status = run(
    'host: unit, golden, interop, boot',
    'node_modules/.bin/vitest',
    [
      'run',
      '--reporter=dot',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...process.argv.slice(2),
    ],
    { env: { ...process.env, NO_COLOR: '1' } },
  );
  let result;
  try {
    result = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    total.failed++;
    return;
  }
  total.passed += result.numPassedTests;
  total.failed += result.numFailedTests;
  total.skipped += result.numPendingTests + result.numTodoTests;
  // A file that does not load fails without a failing test.
  const broken = result.testResults.filter(
    (file) =>
      file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  ).length;
  total.failed += broken;
  if (status !== 0 && result.numFailedTests + broken === 0) total.failed++;
  tellSlowest(result.testResults);
}

/** Where the time goes, for whoever makes the suite shorter. */
function tellSlowest(files) {
  const timed = files
    .map(({ name, startTime, endTime }) => [(endTime - startTime) / 1000, relative('.', name)])
    .filter(([seconds]) => seconds >= SLOW_SECONDS)
    .toSorted(([a], [b]) => b - a);
  process.stdout.write(`\nTest files of more than ${SLOW_SECONDS} s:\n`);
  for (const [seconds, name] of timed) {
    process.stdout.write(`${seconds.toFixed(0).padStart(5)} s  ${name}\n`);
  }
}

function cargo() {
  process.stdout.write('\n== guest and native: cargo test\n');
  const { status, stdout } = spawnSync('cargo', ['test', '--quiet', '--locked', '--workspace'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  });
  process.stdout.write(stdout ?? '');
  const lines = [
    ...(stdout ?? '').matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm),
  ];
  for (const [, passed, failed, ignored] of lines) {
    total.passed += Number(passed);
    total.failed += Number(failed);
    total.skipped += Number(ignored);
  }
  if (status !== 0 && lines.every(([, , failed]) => failed === '0')) total.failed++;
}

try {
  const only = process.argv.length > 2;
  if (
    !only &&
    run('checks: format, lint, types, unused code, clippy', 'sh', ['scripts/check']) !== 0
  ) {
    total.failed++;
  } else if (!only) {
    total.passed++;
  }
  if (!only) cargo();
  vitest();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`\nThe suite took ${Math.round((Date.now() - started) / 1000)} s.\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
