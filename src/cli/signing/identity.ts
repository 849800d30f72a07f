/** Who signs, for the audit log. */

import { hostname, userInfo } from 'node:os';
import type { AuditIdentity } from '../../signing/audit.ts';

/**
 * What CI systems say of the job that runs. None of these is a secret; nothing else of the environment
 * is looked at.
 */
const CI_VARIABLES: readonly string[] = [
  // GitHub Actions
  'GITHUB_REPOSITORY',
  'GITHUB_WORKFLOW_REF',
  'GITHUB_SHA',
  'GITHUB_RUN_ID',
  'GITHUB_ACTOR',
  // GitLab
  'CI_PROJECT_PATH',
  'CI_PIPELINE_ID',
  'CI_JOB_ID',
  'CI_COMMIT_SHA',
  'GITLAB_USER_LOGIN',
  // Jenkins
  'JOB_NAME',
  'BUILD_NUMBER',
  'BUILD_USER_ID',
  // Buildkite
  'BUILDKITE_PIPELINE_SLUG',
  'BUILDKITE_BUILD_NUMBER',
  'BUILDKITE_COMMIT',
  'BUILDKITE_BUILD_CREATOR',
];

/** A value that is longer is not an identity. */
const MAX_VALUE = 300;

export function identityOf(env: NodeJS.ProcessEnv): AuditIdentity {
  const ci = Object.fromEntries(
    CI_VARIABLES.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === '' ? [] : [[name, value.slice(0, MAX_VALUE)]];
    }),
  );
  return {
    user: userName(),
    host: hostname(),
    ...(Object.keys(ci).length > 0 && { ci }),
  };
}

/** A container may run as a user that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
