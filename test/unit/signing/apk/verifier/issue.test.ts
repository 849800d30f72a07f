import { describe, expect, test } from 'vitest';
import { issueMessages } from '../../../../../src/signing/apk/verifier/issue-messages.ts';
import { createIssueLog } from '../../../../../src/signing/apk/verifier/issue.ts';

describe('createIssueLog', () => {
  test('collects findings in their order, those of signers and steps among them', () => {
    const log = createIssueLog();
    const signer = log.of({ scheme: 'v2', index: 1 });
    const step = log.step();
    log.warning('SOURCE_STAMP_SIG_MISSING');
    signer.error('V2_SIG_MALFORMED_CERTIFICATE', { number: 2, reason: 'it is not X.509' });
    step.of({ scheme: 'v1', index: 0, name: 'CERT.RSA' }).info('JAR_SIG_MISSING');
    expect(log.issues).toEqual([
      {
        severity: 'warning',
        name: 'SOURCE_STAMP_SIG_MISSING',
        message: expect.any(String) as string,
        parameters: {},
      },
      {
        severity: 'error',
        name: 'V2_SIG_MALFORMED_CERTIFICATE',
        message: 'Malformed certificate #2: it is not X.509',
        parameters: { number: 2, reason: 'it is not X.509' },
        signer: { scheme: 'v2', index: 1 },
      },
      expect.objectContaining({ signer: { scheme: 'v1', index: 0, name: 'CERT.RSA' } }),
    ]);
    expect([log.has('error'), signer.has('error'), step.has('error')]).toEqual([true, true, false]);
    expect(step.issues).toHaveLength(1);
  });
});

/** Stands for any parameter. */
const anything = new Proxy({}, { get: (_target, name) => `<${String(name)}>` });

describe('issueMessages', () => {
  test.for(Object.entries(issueMessages))(
    '%s is a sentence that tells its parameters',
    ([, text]) => {
      const message = (text as (parameters: unknown) => string)(anything);
      expect(message).toMatch(/^[A-Z<].*[^.\s]$/s);
      expect(message).not.toContain('undefined');
    },
  );
});
