/** What may be told of an instance. */

import type { FoundInstance } from '../../../runner/instance/folder.ts';

export interface InstanceDescription {
  readonly name: string;
  readonly folder: string;
  /** No guest was handed its secrets yet. */
  readonly new: boolean;
  /** Why it cannot be run. */
  readonly problem: string | null;
  /** The process that runs it. */
  readonly usedBy: number | null;
  /** The newest that ran, by key: SHA-256 of AVB's encoding. Numbers of 64 bits, as text. */
  readonly systems: readonly { readonly key: string; readonly rollbackIndex: string }[];
  /** The newest that ran, by package and signer: SHA-256 of the certificate. */
  readonly packages: readonly {
    readonly package: string;
    readonly signer: string;
    readonly versionCode: string;
  }[];
}

export function describeInstance(found: FoundInstance): InstanceDescription {
  const { name, folder, isNew, problem = null, usedBy = null, versions } = found;
  return {
    name,
    folder,
    new: isNew,
    problem,
    usedBy,
    systems: [...versions.system].map(([key, index]) => ({ key, rollbackIndex: String(index) })),
    packages: [...versions.payload].map(([key, version]) => {
      const [packageName = '', signer = ''] = key.split(' ');
      return { package: packageName, signer, versionCode: String(version) };
    }),
  };
}
