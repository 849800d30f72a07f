import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  formatRequest,
  parseRequest,
  type RequestDocument,
} from '../../../../src/signing/two-phase/request.ts';

const key = 'ab'.repeat(32);
const document: RequestDocument = {
  schemaVersion: 1,
  job: {
    command: ['sign', 'apk'],
    arguments: ['in.apk', '--key', 'release.pub'],
    directory: '/home/somebody',
    inputs: [{ path: 'in.apk', size: 5, sha256: '00'.repeat(32) }],
  },
  keys: [
    { id: key, reference: 'release.pub', certificate: null, publicKey: 'PEM', certificates: [] },
  ],
  requests: [
    {
      id: 'apk-v3-0011223344556677',
      artefact: 'in.apk',
      purpose: 'apk-v3',
      scheme: 'rsa-pkcs1',
      hash: 'sha256',
      algorithm: 'SHA256withRSA',
      key,
      digest: '11'.repeat(32),
      data: 'apk-v3-0011223344556677.tbs',
      dataSize: 100,
      dataSha256: '11'.repeat(32),
      digestFile: 'apk-v3-0011223344556677.digest',
      signature: 'apk-v3-0011223344556677.sig',
      round: 1,
      state: 'needed',
    },
  ],
};

/** The field that is complained about. */
function fieldOf(text: string): string | undefined {
  try {
    parseRequest(text);
  } catch (error) {
    if (error instanceof FormatError) return error.field;
    throw error;
  }
  return undefined;
}

type Edit = (
  copy: {
    [K in 'keys' | 'requests']: Record<string, unknown>[];
  } & { job: Record<string, unknown> } & Record<string, unknown>,
) => void;

const edited = (edit: Edit): string => {
  const copy = JSON.parse(formatRequest(document)) as Parameters<Edit>[0];
  edit(copy);
  return JSON.stringify(copy);
};

describe('request.json', () => {
  test('is read as it was written', () => {
    expect(parseRequest(formatRequest(document))).toEqual(document);
  });

  test.each<[string, Edit]>([
    ['schemaVersion', (copy) => (copy['schemaVersion'] = 2)],
    ['more', (copy) => (copy['more'] = 1)],
    ['job.more', (copy) => (copy.job['more'] = 1)],
    ['job.command[0]', (copy) => (copy.job['command'] = ['--version'])],
    ['job.arguments[0]', (copy) => (copy.job['arguments'] = [1])],
    ['job.inputs', (copy) => (copy.job['inputs'] = {})],
    ['requests[0].data', (copy) => (copy.requests[0]!['data'] = '../tbs')],
    ['requests[0].signature', (copy) => (copy.requests[0]!['signature'] = '/etc/passwd')],
    ['requests[0].digestFile', (copy) => (copy.requests[0]!['digestFile'] = '.hidden')],
    ['requests[0].digest', (copy) => (copy.requests[0]!['digest'] = '00')],
    ['requests[0].scheme', (copy) => (copy.requests[0]!['scheme'] = 'none')],
    ['requests[0].state', (copy) => delete copy.requests[0]!['state']],
    ['requests[0].dataSize', (copy) => (copy.requests[0]!['dataSize'] = -1)],
    ['requests[0].key', (copy) => (copy.requests[0]!['key'] = 'cd'.repeat(32))],
    ['requests', (copy) => copy.requests.push(copy.requests[0]!)],
  ])('with a wrong %s is refused', (field, edit) => {
    expect(fieldOf(edited(edit))).toBe(field);
  });

  test('of any text is read or refused, nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        // Anything but a FormatError is thrown on.
        expect(() => fieldOf(text)).not.toThrow();
      }),
    );
  });

  test('with any value in any place is read or refused, nothing else', () => {
    const paths = [['job'], ['keys', 0], ['requests', 0], ['requests'], ['job', 'inputs', 0]];
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
        const copy = JSON.parse(formatRequest(document)) as Record<string | number, unknown>;
        let at = copy;
        for (const step of path.slice(0, -1)) at = at[step] as typeof copy;
        at[path.at(-1) ?? ''] = value;
        expect(() => fieldOf(JSON.stringify(copy))).not.toThrow();
      }),
    );
  });
});
