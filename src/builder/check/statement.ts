/** What a rebuild has to say to others: an in-toto statement of which release came out the same here, or did not. */

import { digestFile } from '../../cache/store.ts';
import { isArchiveName } from '../../bundle/files.ts';
import type { Statement } from '../../formats/dsse/statement.ts';
import { basename } from 'node:path';
import type { AgainstReport } from './against.ts';

/** How to read the predicate: docs/check.md. */
export const REBUILD_PREDICATE = 'https://microbuild.dev/rebuild/v1';

/** @param finished When the rebuild was done. */
export async function rebuildStatement(report: AgainstReport, finished: Date): Promise<Statement> {
  const { release, name, failure, unreplayed, inputs, tools, measured, first } = report;
  const verdict = report.reproduced
    ? 'reproduced'
    : failure !== undefined
      ? 'failed'
      : report.sameUnsigned
        ? 'same-unsigned'
        : 'different';
  const files = report.files.flatMap(({ path, released }) =>
    released === undefined ? [] : [{ name: path, digest: { sha256: released } }],
  );
  const archive = isArchiveName(release)
    ? [{ name: basename(release), digest: { sha256: (await digestFile(release)).sha256 } }]
    : [];
  return {
    subject: [...archive, ...files],
    predicateType: REBUILD_PREDICATE,
    predicate: {
      verdict,
      name,
      finishedOn: finished.toISOString(),
      toolchain: report.toolchain,
      ...(failure !== undefined && { failure }),
      ...(unreplayed !== undefined && { unreplayed }),
      ...(inputs.length > 0 && { differentInputs: inputs }),
      ...(tools.length > 0 && { differentTools: tools }),
      ...(first !== undefined && {
        first: { level: first.level, member: first.member, path: first.path, field: first.field },
      }),
      ...(measured !== undefined && {
        measured: measured.map(({ name: each, a, b }) => ({
          name: each,
          ...(a !== undefined && { released: a }),
          ...(b !== undefined && { rebuilt: b }),
        })),
      }),
      files: report.files,
    },
  };
}
