import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EVENTS } from '../../../src/core/events.ts';

const page = readFileSync('docs/automation.md', 'utf8');

test.each(Object.entries(EVENTS))(
  '%s stands on the page with all of its fields',
  (kind, { fields }) => {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${kind}\``)) ?? '';
    for (const [name, field] of Object.entries(fields)) {
      expect(row).toContain('optional' in field ? `\`${name}\`?` : `\`${name}\``);
    }
  },
);
