/** GPT against util-linux's sfdisk. */

import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/core/digest.ts';
import { guidFromDigest, layoutGpt, writeGpt } from '../../src/formats/gpt/gpt.ts';
import { formatGuid, parseGuid } from '../../src/formats/gpt/guid.ts';
import { readGpt } from '../../src/formats/gpt/reader.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const guidOf = (name: string): Uint8Array => guidFromDigest(sha256(Buffer.from(name)));

interface SfdiskTable {
  readonly id: string;
  readonly firstlba: number;
  readonly lastlba: number;
  readonly partitions: readonly {
    readonly start: number;
    readonly size: number;
    readonly type: string;
    readonly uuid: string;
    readonly name: string;
  }[];
}

function sfdiskTable(path: string): SfdiskTable {
  const { status, stdout, stderr } = runTool('sfdisk', ['--json', path]);
  if (status !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { partitiontable: SfdiskTable }).partitiontable;
}

describe('sfdisk', () => {
  test.each([20480, 1 << 20])(
    'accepts our table with the first partition at %i, and sees the same',
    async (firstPartition) => {
      const path = join(tmpDir(), 'disk.img');
      const layout = layoutGpt({
        diskGuid: guidOf('disk'),
        firstPartition,
        partitions: ['vbmeta_a', 'system_a', 'Ünï 😀', 'x'.repeat(36)].map((label, i) => ({
          label,
          size: 4096 * i + 65536,
          guid: guidOf(label),
        })),
      });
      const sink = await createFileSink(path);
      await writeGpt(sink, layout);
      await sink.close();

      const verify = runTool('sfdisk', ['--verify', path]);
      expect(verify).toMatchObject({ status: 0, stderr: '' });
      expect(verify.stdout).toContain('No errors detected');
      const table = sfdiskTable(path);
      expect(parseGuid(table.id)).toEqual(layout.diskGuid);
      expect(table.firstlba).toBe(34);
      expect(table.lastlba).toBe(layout.diskSize / 512 - 34);
      expect(
        table.partitions.map(({ start, size, type, uuid, name }) => ({
          label: name,
          guid: parseGuid(uuid),
          typeGuid: parseGuid(type),
          offset: start * 512,
          size: size * 512,
        })),
      ).toEqual(layout.partitions);
    },
  );

  test('finds our backup when the table at the start is gone', async () => {
    const path = join(tmpDir(), 'disk.img');
    const partitions = [{ label: 'only', size: 4096, guid: guidOf('only') }];
    const layout = layoutGpt({ diskGuid: guidOf('disk'), partitions });
    const sink = await createFileSink(path);
    await writeGpt(sink, layout);
    await sink.write(512, new Uint8Array(33 * 512));
    await sink.close();
    const table = sfdiskTable(path);
    expect(table.partitions.map(({ name, uuid }) => [name, parseGuid(uuid)])).toEqual([
      ['only', guidOf('only')],
    ]);
  });

  test('makes tables that read back here', async () => {
    const path = join(tmpDir(), 'disk.img');
    writeFileSync(path, '');
    truncateSync(path, 8 << 20);
    const script = [
      'label: gpt',
      `label-id: ${formatGuid(guidOf('disk'))}`,
      `start=2048, size=2048, name="first", uuid=${formatGuid(guidOf('first'))}`,
      `start=8192, size=100, name="second", uuid=${formatGuid(guidOf('second'))}, attrs="RequiredPartition"`,
    ].join('\n');
    const made = runTool('sfdisk', ['--no-reread', '--no-tell-kernel', path], { input: script });
    expect(made).toMatchObject({ status: 0 });
    const source = await openFileSource(path);
    const gpt = await readGpt(source);
    await source.close();
    expect(gpt.diskGuid).toEqual(guidOf('disk'));
    expect(gpt.partitions).toMatchObject([
      { label: 'first', guid: guidOf('first'), offset: 1 << 20, size: 1 << 20, attributes: 0n },
      { label: 'second', guid: guidOf('second'), offset: 4 << 20, size: 51200, attributes: 1n },
    ]);
  });
});
