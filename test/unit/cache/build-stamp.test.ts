import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  dropStamp,
  lookAtInputs,
  readStamp,
  watchInputs,
  writeStamp,
} from '../../../src/cache/build-stamp.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** A folder of inputs, old enough to be remembered, and an output. */
async function project() {
  const directory = tmpDir();
  const cache = { directory: join(directory, 'cache') };
  const source = join(directory, 'source');
  mkdirSync(join(source, 'deep'), { recursive: true });
  for (const name of ['a', 'b', 'deep/c']) writeFileSync(join(source, name), `content of ${name}`);
  symlinkSync('a', join(source, 'link'));
  const output = join(directory, 'out');
  await setTimeout(30);
  const inputs = ['.', 'a', 'b', 'deep', 'deep/c', 'link', 'missing'].map((name) =>
    join(source, name),
  );
  const subject = { output, facts: { version: '1', env: { SOURCE_DATE_EPOCH: '5' } } };
  const build = async () => {
    const watched = watchInputs();
    await watched.add(inputs);
    mkdirSync(output, { recursive: true });
    writeFileSync(join(output, 'image'), 'image');
    const outputs = [output, join(output, 'image')];
    return writeStamp(cache, subject, { inputs: watched, outputs, value: { digest: 'd' } });
  };
  return { cache, source, output, subject, inputs, build, isNew: () => readStamp(cache, subject) };
}

type Project = Awaited<ReturnType<typeof project>>;

/** Everything that can happen to the files of a project. */
const changes: Record<string, (project: Project) => void> = {
  'content of the same size': ({ source }) => {
    writeFileSync(join(source, 'a'), 'CONTENT of a');
  },
  'content of the same size, its time put back': ({ source }) => {
    writeFileSync(join(source, 'a'), 'CONTENT of a');
    utimesSync(join(source, 'a'), 1, 1);
  },
  'a longer file': ({ source }) => {
    writeFileSync(join(source, 'b'), 'more', { flag: 'a' });
  },
  'a mode': ({ source }) => {
    chmodSync(join(source, 'b'), 0o600);
  },
  'a time': ({ source }) => {
    utimesSync(join(source, 'b'), 5, 5);
  },
  'a new file': ({ source }) => {
    writeFileSync(join(source, 'deep/new'), '');
  },
  'a file that was not there': ({ source }) => {
    writeFileSync(join(source, 'missing'), '');
  },
  'a removed file': ({ source }) => {
    rmSync(join(source, 'deep/c'));
  },
  'a renamed file': ({ source }) => {
    renameSync(join(source, 'deep/c'), join(source, 'deep/d'));
  },
  'a file in the place of another': ({ source }) => {
    renameSync(join(source, 'a'), join(source, 'b'));
  },
  'another target of a link': ({ source }) => {
    rmSync(join(source, 'link'));
    symlinkSync('b', join(source, 'link'));
  },
  'a folder in the place of a file': ({ source }) => {
    rmSync(join(source, 'a'));
    mkdirSync(join(source, 'a'));
  },
  'the output': ({ output }) => {
    writeFileSync(join(output, 'image'), 'IMAGE');
  },
  'a truncated output': ({ output }) => {
    truncateSync(join(output, 'image'), 2);
  },
  'a file more in the output': ({ output }) => {
    writeFileSync(join(output, 'extra'), '');
  },
  'a removed output': ({ output }) => {
    rmSync(output, { recursive: true });
  },
};

describe('readStamp()', () => {
  test('says what the build said while nothing changes, and writes nothing', async () => {
    const made = await project();
    expect(await made.isNew()).toBeUndefined();
    expect(await made.build()).toBe(true);
    const before = readdirSync(made.cache.directory, { recursive: true });
    expect(await made.isNew()).toEqual({ value: { digest: 'd' } });
    expect(await made.isNew()).toEqual({ value: { digest: 'd' } });
    expect(readdirSync(made.cache.directory, { recursive: true })).toEqual(before);
  });

  test.each(Object.keys(changes))('notices: %s', async (name) => {
    const made = await project();
    expect(await made.build()).toBe(true);
    changes[name]?.(made);
    expect(await made.isNew()).toBeUndefined();
  });

  test('notices any series of changes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.constantFrom(...Object.keys(changes)), { minLength: 1, maxLength: 4 }),
        async (names) => {
          const made = await project();
          expect(await made.build()).toBe(true);
          let changed = false;
          for (const name of names) {
            try {
              changes[name]?.(made);
              changed = true;
            } catch {
              // What it changes went with an earlier change.
            }
          }
          expect(changed).toBe(true);
          expect(await made.isNew()).toBeUndefined();
        },
      ),
      { numRuns: 20 },
    );
  });

  test('other facts are another build', async () => {
    const made = await project();
    await made.build();
    const facts = { version: '2', env: { SOURCE_DATE_EPOCH: '5' } };
    expect(await readStamp(made.cache, { output: made.output, facts })).toBeUndefined();
  });

  test('a damaged stamp is none, whatever byte of it is wrong', async () => {
    const made = await project();
    await made.build();
    const folder = join(made.cache.directory, 'microbuild/stamps');
    const file = join(folder, readdirSync(folder)[0] ?? '');
    const bytes = readFileSync(file);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (at, change, cut) => {
          const damaged = Buffer.from(bytes);
          damaged[at] = (damaged[at] ?? 0) ^ change;
          writeFileSync(file, cut ? bytes.subarray(0, at) : damaged);
          expect(await made.isNew()).toBeUndefined();
        },
      ),
      { numRuns: 60 },
    );
  });

  test('is forgotten when it is dropped', async () => {
    const made = await project();
    await made.build();
    await dropStamp(made.cache, made.output);
    expect(await made.isNew()).toBeUndefined();
  });
});

describe('writeStamp()', () => {
  test('does not vouch for inputs that are as new as the build', async () => {
    const made = await project();
    writeFileSync(join(made.source, 'a'), 'just now');
    expect(await made.build()).toBe(false);
    await setTimeout(30);
    expect(await made.build()).toBe(true);
  });

  test('does not vouch for inputs that changed while they were built', async () => {
    for (const name of ['content of the same size', 'a new file', 'a removed file']) {
      const made = await project();
      const watched = watchInputs();
      await watched.add(made.inputs);
      changes[name]?.(made);
      mkdirSync(made.output);
      const contents = { inputs: watched, outputs: [made.output], value: null };
      expect(await writeStamp(made.cache, made.subject, contents)).toBe(false);
      expect(await made.isNew()).toBeUndefined();
    }
  });

  test('takes inputs that it only looks at itself, and does not vouch for those that are newer than the build', async () => {
    const made = await project();
    mkdirSync(made.output);
    const write = async (change?: (project: Project) => void): Promise<boolean> => {
      const inputs = watchInputs();
      await inputs.add(made.inputs.slice(0, 2));
      change?.(made);
      const others = await lookAtInputs(inputs, made.inputs);
      const contents = { inputs, others, outputs: [made.output], value: 1 };
      return writeStamp(made.cache, made.subject, contents);
    };
    expect(await write()).toBe(true);
    expect(await made.isNew()).toEqual({ value: 1 });
    changes['a removed file']?.(made);
    expect(await made.isNew()).toBeUndefined();
    await setTimeout(30);
    expect(await write()).toBe(true);
    expect(await made.isNew()).toEqual({ value: 1 });
    for (const name of ['a longer file', 'a mode', 'a new file', 'a file that was not there']) {
      await setTimeout(30);
      expect(`${name}: ${await write(changes[name])}`).toBe(`${name}: false`);
      expect(await made.isNew()).toBeUndefined();
    }
  });

  test('notices what changes between the look at an input and the stamp', async () => {
    for (const name of ['a longer file', 'a removed file', 'a file that was not there']) {
      const made = await project();
      mkdirSync(made.output);
      const inputs = watchInputs();
      const others = await lookAtInputs(inputs, made.inputs);
      changes[name]?.(made);
      const contents = { inputs, others, outputs: [made.output], value: 1 };
      await writeStamp(made.cache, made.subject, contents);
      expect(`${name}: ${JSON.stringify(await made.isNew())}`).toBe(`${name}: undefined`);
    }
  });

  test('does not vouch for an output that another build has replaced', async () => {
    const made = await project();
    expect(await made.build()).toBe(true);
    const isOurs = (): Promise<boolean> => Promise.resolve(false);
    const contents = { inputs: watchInputs(), outputs: [made.output], value: null, isOurs };
    expect(await writeStamp(made.cache, made.subject, contents)).toBe(false);
    expect(await made.isNew()).toBeUndefined();
  });

  test('does not vouch for the absence of what came and went', async () => {
    const made = await project();
    const watched = watchInputs();
    await watched.add([join(made.source, 'missing')]);
    writeFileSync(join(made.source, 'missing'), '');
    rmSync(join(made.source, 'missing'));
    mkdirSync(made.output);
    const contents = { inputs: watched, outputs: [made.output], value: null };
    expect(await writeStamp(made.cache, made.subject, contents)).toBe(false);
  });

  test('an output that is not there takes the old stamp away', async () => {
    const made = await project();
    await made.build();
    const watched = watchInputs();
    const contents = { inputs: watched, outputs: [join(made.output, 'gone')], value: null };
    expect(await writeStamp(made.cache, made.subject, contents)).toBe(false);
    expect(existsSync(join(made.cache.directory, 'microbuild/stamps'))).toBe(true);
    expect(readdirSync(join(made.cache.directory, 'microbuild/stamps'))).toEqual([]);
  });
});
