/** docs/recipe.md: what it shows is what recipes can say. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { recipeReference, SECTIONS } from '../../../src/cli/recipe-reference.ts';
import {
  compositionJsonSchema,
  recipeJsonSchema,
  wholeRecipeSchema,
} from '../../../src/recipe/json-schema.ts';
import { readDraft } from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const BASE = `apiVersion: microbuild/v1
name: base
partitions: { system: { contents: [{ guest: runtime }] } }
payload: { package: dev.example.base, versionCode: 1, entry: libx.so }
`;

describe('the page of recipes', () => {
  test.each(SECTIONS)('the example of "$title" is one', async ({ example }) => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'base'));
    writeFileSync(join(folder, 'base/microbuild.yaml'), BASE);
    writeFileSync(join(folder, 'microbuild.yaml'), `extends: base\n${example}`);
    const { problems, warnings } = await readDraft(folder);
    expect([...problems, ...warnings].map(({ message }) => message)).toEqual([]);
  });

  test('has a section for every key', () => {
    const keys = [wholeRecipeSchema(), compositionJsonSchema()].flatMap(({ properties = {} }) =>
      Object.keys(properties),
    );
    expect(SECTIONS.flatMap((section) => section.keys).sort()).toEqual(keys.sort());
    const page = recipeReference();
    for (const source of 'guest deb dir file tar oci zip apk inline git symlink folder'.split(
      ' ',
    )) {
      expect(page).toContain(`\`partitions.system.contents[]\` with \`${source}\``);
    }
  });

  test('every reference of the JSON Schema leads somewhere, and keys may append and remove', () => {
    const schema = recipeJsonSchema();
    const text = JSON.stringify(schema);
    const definitions = Object.keys(schema['$defs'] as object);
    for (const [, name = ''] of text.matchAll(/"#\/\$defs\/([^"]+)"/g)) {
      expect(definitions).toContain(name);
    }
    expect(text).toContain('"contents+"');
    expect(text.length).toBeLessThan(200_000);
  });
});
