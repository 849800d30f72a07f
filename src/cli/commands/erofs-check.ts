import { openErofsImage } from '../../bundle/erofs-image.ts';
import { checkErofs } from '../../formats/erofs/check.ts';
import type { ErofsProblem } from '../../formats/erofs/check-report.ts';
import type { CommandDefinition } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { formatSize, printable, type Terminal } from '../terminal.ts';

export const erofsCheckCommand: CommandDefinition = {
  name: 'check',
  summary:
    'Find all that is wrong with an EROFS image: further than fsck.erofs looks, on any system',
  positionals: {
    image: { type: 'string', describe: 'Image, disk or bundle folder' },
  },
  options: {
    partition: {
      type: 'string',
      requiresArg: true,
      describe: 'The partition of a disk; default: the one that holds EROFS',
    },
    strict: { type: 'boolean', default: false, describe: 'Take warnings as errors' },
  },
  examples: [
    ['erofs check rootfs.erofs', 'exit code 3 when something is wrong'],
    ['erofs check out/hello --strict --json', 'the system of a bundle; the problems as JSON'],
  ],
  verifying: true,
  async run(args, { terminal, signal, reporter }) {
    const image = await openErofsImage(args.text('image'), args.optionalText('partition'));
    const step = 'erofs.check';
    const title = `Check ${image.name}`;
    const started = performance.now();
    reporter.report({ kind: 'step-start', step, title });
    try {
      const report = await checkErofs(image, {
        signal,
        onProgress: (done, total) =>
          reporter.report({ kind: 'step-progress', step, done, total, unit: 'inodes' }),
      });
      const milliseconds = performance.now() - started;
      reporter.report({ kind: 'step-done', step, title, cached: false, milliseconds });
      const { problems, more, inodes, dataSize } = report;
      const isBad =
        more > 0 || problems.some(({ severity }) => severity === 'error' || args.flag('strict'));
      const lines = problems.map((problem) => problemText(problem, terminal));
      if (more > 0) lines.push(`and ${more} more problems`);
      if (lines.length === 0) lines.push(`${terminal.style('green', 'ok')}  no problems`);
      lines.push(`${inodes} inodes, ${formatSize(dataSize)} of files`);
      return {
        text: lines.join('\n'),
        json: { ok: !isBad, ...report },
        exitCode: isBad ? EXIT.verification : EXIT.ok,
      };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      reporter.report({ kind: 'step-failed', step, title, message });
      throw error;
    } finally {
      await image.close();
    }
  },
};

function problemText(problem: ErofsProblem, terminal: Terminal): string {
  const { severity, path, offset, field, message } = problem;
  const mark = terminal.style(severity === 'error' ? 'red' : 'yellow', severity.padEnd(7));
  const place = [
    ...(offset === undefined ? [] : [`0x${offset.toString(16)}`]),
    ...(field === undefined ? [] : [field]),
  ].join(' ');
  const where = place === '' ? '' : terminal.style('dim', `  (${place})`);
  return `${mark}  ${path === undefined ? '' : `${printable(path)}: `}${printable(message)}${where}`;
}
