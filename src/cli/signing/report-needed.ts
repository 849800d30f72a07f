/** What people and programs are told of signatures that are needed. */

import { signingCommands } from '../../signing/two-phase/algorithm.ts';
import {
  REQUEST_FILE,
  type RequestedKey,
  type SignatureRequest,
} from '../../signing/two-phase/request.ts';
import type { CommandResult } from '../command.ts';
import { quoteForShell } from '../../signing/keys/bounded-file.ts';

/** @param exitCode 0 where they were asked for, another where they were expected. */
export function reportNeeded(
  folder: string,
  keys: readonly RequestedKey[],
  requests: readonly SignatureRequest[],
  exitCode: number,
): CommandResult {
  const nameOf = (id: string): string => {
    const key = keys.find((each) => each.id === id);
    return key?.reference ?? key?.certificate ?? id;
  };
  const count = `${requests.length} ${requests.length === 1 ? 'signature is' : 'signatures are'}`;
  const lines = requests.flatMap((request) => {
    const { openssl, pkcs11Tool } = signingCommands(request);
    return [
      `  ${request.artefact}${request.purpose === null ? '' : `, ${request.purpose}`}: ${request.algorithm} with ${nameOf(request.key)}`,
      `    ${openssl}`,
      ...(pkcs11Tool === undefined ? [] : [`    or ${pkcs11Tool}`]),
    ];
  });
  return {
    text: [
      `${folder}: ${count} needed, see ${REQUEST_FILE}; in that folder run`,
      ...lines,
      `then microbuild sign --attach ${quoteForShell(folder)}, which asks for the signatures that are over these, if there are any`,
    ].join('\n'),
    json: {
      state: 'signatures-needed',
      folder,
      keys,
      requests: requests.map((request) => ({ ...request, commands: signingCommands(request) })),
    },
    exitCode,
  };
}
