import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { payloadsOf } from '../../../../src/builder/payloads.ts';
import { copyInterfaces, interfaceFile } from '../../../../src/builder/steps/interfaces.ts';
import { RecipeError } from '../../../../src/core/errors.ts';
import { readRecipe } from '../../../../src/recipe/parse.ts';
import { copyHello } from '../../../support/recipes.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

describe('interfaceFile()', () => {
  test.each([
    ['package dev.example.x;\ninterface IX {}', 'interfaces/dev/example/x/IX.aidl'],
    ['// package no;\n/* package\n no; */ package a . b ;', 'interfaces/a/b/IX.aidl'],
    ['interface IX {}', 'interfaces/IX.aidl'],
    ['package ../x;', 'interfaces/IX.aidl'],
  ])('puts %j into the folders of its package', (text, name) => {
    expect(interfaceFile('some/where/IX.aidl', text)).toBe(name);
  });
});

describe('copyInterfaces()', () => {
  const copy = async (files: Readonly<Record<string, string>>) => {
    const folder = copyHello(join(tmpDir(), 'hello'), [
      [
        'interfaces: [aidl/dev/microbuild/hello/IHello.aidl]',
        `interfaces: [${Object.keys(files).join(', ')}]`,
      ],
    ]);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const recipe = await readRecipe(folder);
    const out = tmpDir();
    const names = await copyInterfaces(recipe, payloadsOf(recipe), out);
    const written = readdirSync(out, { recursive: true, withFileTypes: true });
    return { names, written: written.filter((each) => each.isFile()).length };
  };

  test('keeps files of one name in two packages apart', async () => {
    const files = { 'a/IX.aidl': 'package a;', 'b/IX.aidl': 'package b;' };
    const names = ['interfaces/a/IX.aidl', 'interfaces/b/IX.aidl'];
    expect(await copy(files)).toEqual({ names: [names], written: 2 });
  });

  test('takes a file once that is named twice', async () => {
    const files = { 'a/IX.aidl': 'package a;', 'b/IX.aidl': 'package a;' };
    expect(await copy(files)).toEqual({ names: [['interfaces/a/IX.aidl']], written: 1 });
  });

  test('refuses two files for one place', async () => {
    const refused = copy({ 'a/IX.aidl': 'package a;', 'b/IX.aidl': 'package a; // other' });
    await expect(refused).rejects.toThrow(RecipeError);
  });
});
