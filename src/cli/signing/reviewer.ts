/** What profile `release` asks of a session: what may be signed, and what was released last. */

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findKeyFolder } from '../../builder/workspace.ts';
import { UsageError, VerificationError } from '../../core/errors.ts';
import type { Reporter } from '../../core/events.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import type { AuditLog } from '../../signing/audit.ts';
import { isDevelopmentKey } from '../../signing/keys/development.ts';
import { importPrivateKey } from '../../signing/keys/import-private-key.ts';
import { knownTestKey } from '../../signing/keys/known-test-keys.ts';
import { parseKeyReference } from '../../signing/keys/reference.ts';
import {
  formatLastReleases,
  parseLastReleases,
  rollbackName,
  withReleases,
  type LastReleases,
} from '../../signing/policy/last-releases.ts';
import {
  reviewRelease,
  type KeySubject,
  type ReviewSubject,
  type SigningProfile,
} from '../../signing/policy/release.ts';
import { withoutPin } from './job.ts';
import type { PublicKeyParts } from './key-modes.ts';

export interface Reviewer {
  /** @throws {VerificationError} `release-policy`, with all reasons against it. */
  review(subject: ReviewSubject): Promise<void>;
  reviewKey(reference: string | undefined, key: PublicKeyParts): Promise<void>;
  /** Notes what was released; to be called when all outputs stand. */
  release(): Promise<void>;
}

/** Lets everything pass, and warns of what would be a mistake anywhere but in a test. */
const lenient = (reporter: Reporter): Reviewer => ({
  review: () => Promise.resolve(),
  reviewKey(_reference, { publicKey, reference }) {
    const published = knownTestKey(publicKey);
    if (published !== undefined) {
      reporter.report({
        kind: 'warning',
        message: `Key ${withoutPin(reference)} is a published test key (${published}): anybody can sign with it`,
        hint: '--profile release refuses such keys',
      });
    }
    return Promise.resolve();
  },
  release: () => Promise.resolve(),
});

export interface ReviewerOptions {
  readonly profile: SigningProfile;
  /** File of what was released last. */
  readonly releaseLog: string;
  readonly audit: AuditLog;
  readonly env: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
}

/** @throws {FormatError} when the file of what was released last is damaged. */
export async function openReviewer(options: ReviewerOptions): Promise<Reviewer> {
  const { profile, releaseLog, audit, env } = options;
  const reporter = warnOnce(options.reporter);
  if (profile === 'development') return lenient(reporter);
  const last = await readLastReleases(releaseLog);
  const released = new Map<string, bigint>();

  const review = async (subject: ReviewSubject): Promise<void> => {
    const refusals = reviewRelease(subject, last);
    const [first] = refusals;
    if (first !== undefined) {
      const reason = refusals.map(({ message }) => message).join('; ');
      await audit.append({ verdict: 'refused', reason, artefact: subject.name });
      throw new VerificationError(
        'release-policy',
        first.code,
        `Cannot sign for a release: ${reason}`,
        { hint: refusals.map(({ hint }) => hint).join('; ') },
      );
    }
    if (subject.kind === 'vbmeta') {
      const name = rollbackName(subject.name, subject.rollbackIndexLocation ?? 0);
      released.set(name, subject.rollbackIndex);
    }
  };
  return {
    review,
    async reviewKey(reference, { publicKey, reference: name }) {
      const subject: KeySubject = {
        kind: 'key',
        name: `key ${withoutPin(name)}`,
        publicKey,
        development: await isOfDevelopment(reference, publicKey, env),
      };
      await review(subject);
      await warnOfPlainFile(reference, reporter);
    },
    async release() {
      const now = withReleases(await readLastReleases(releaseLog), released);
      if (released.size > 0) await writeFileAtomic(releaseLog, formatLastReleases(now));
    },
  };
}

/** One key may sign several things; what is to be said of it is said once. */
function warnOnce(reporter: Reporter): Reporter {
  const said = new Set<string>();
  return {
    report(event) {
      if (event.kind === 'warning' && said.has(event.message)) return;
      if (event.kind === 'warning') said.add(event.message);
      reporter.report(event);
    },
  };
}

/** The first release has nothing before it. */
async function readLastReleases(path: string): Promise<LastReleases> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return new Map();
    throw new UsageError('input', `Cannot read release log ${path}: ${code ?? message}`, { cause });
  }
  return parseLastReleases(text, path);
}

async function isOfDevelopment(
  reference: string | undefined,
  publicKey: PublicKeyParts['publicKey'],
  env: NodeJS.ProcessEnv,
): Promise<boolean> {
  const path = filePathOf(reference);
  const folders = [await findKeyFolder(process.cwd(), path === undefined ? [] : [path], env)];
  if (path !== undefined) folders.push(dirname(path));
  for (const folder of folders) if (await isDevelopmentKey(publicKey, folder)) return true;
  return false;
}

function filePathOf(reference: string | undefined): string | undefined {
  if (reference === undefined) return undefined;
  const place = parseKeyReference(reference);
  return place.kind === 'file' ? place.path : undefined;
}

/** Whoever reads the disk, or a backup of it, has the key. */
async function warnOfPlainFile(reference: string | undefined, reporter: Reporter): Promise<void> {
  const path = filePathOf(reference);
  if (path === undefined) return;
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const isPlain = isPlainPrivateKey(bytes);
  bytes.fill(0);
  if (!isPlain) return;
  reporter.report({
    kind: 'warning',
    message: `Key file ${path} is not encrypted: whoever reads the disk can sign releases`,
    hint: `Encrypt it: openssl pkcs8 -topk8 -in ${path} -out ENCRYPTED.pem; or keep the key in a token`,
  });
}

/** Whether a file holds a private key that opens without a pass phrase. */
function isPlainPrivateKey(key: Buffer): boolean {
  const forms = [
    { key },
    ...(['pkcs8', 'pkcs1', 'sec1'] as const).map((type) => ({ key, type, format: 'der' }) as const),
  ];
  return forms.some((form) => {
    try {
      return importPrivateKey(form).type === 'private';
    } catch {
      return false;
    }
  });
}
