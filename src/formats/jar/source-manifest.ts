/** The manifest that an unsigned archive brings along: its main section lives on in the signed one. */

import { FormatError } from '../../core/errors.ts';
import { parseManifest, type ManifestAttribute } from './manifest.ts';

/** As `java.util.jar.Attributes.Name` limits them. */
const ATTRIBUTE_NAME = /^[0-9A-Za-z_-]{1,70}$/;

const jarError = (message: string, offset: number): FormatError =>
  new FormatError('jar', 'bad-value', `Cannot read META-INF/MANIFEST.MF: ${message}`, { offset });

export const MANIFEST_VERSION = 'Manifest-Version';

/**
 * The attributes of the main section: each name once, with its last value and its first spelling.
 *
 * @throws {FormatError} `jar` when the manifest is not one that Java would read, or has no version.
 */
export function readSourceManifest(bytes: Uint8Array): readonly ManifestAttribute[] {
  const { main, sections } = parseManifest(bytes);
  const unnamed = sections.find(({ name }) => name === undefined);
  if (unnamed !== undefined) throw jarError('a section has no name', unnamed.offset);
  const attributes = new Map<string, ManifestAttribute>();
  for (const { name, value } of main?.attributes ?? []) {
    if (!ATTRIBUTE_NAME.test(name)) {
      throw jarError(`${JSON.stringify(name.slice(0, 80))} is no name`, main?.offset ?? 0);
    }
    const spelling = attributes.get(name.toLowerCase())?.name ?? name;
    attributes.set(name.toLowerCase(), { name: spelling, value });
  }
  if (!attributes.has(MANIFEST_VERSION.toLowerCase())) {
    throw jarError(`the main section has no ${MANIFEST_VERSION}`, main?.offset ?? 0);
  }
  return [...attributes.values()];
}
