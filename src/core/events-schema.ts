/** JSON Schema of the events, out of their one description. */

import { EVENTS, EVENTS_VERSION, type EventField, type EventKind } from './events.ts';

/** JSON Schema (2020-12) of one event. Unknown kinds and fields are to be passed over: there will be more. */
export function eventsJsonSchema(): Record<string, unknown> {
  const fieldSchema = ({ type, describe, enum: words, pattern }: EventField): object => ({
    type,
    description: describe,
    ...((type === 'integer' || type === 'number') && { minimum: 0 }),
    ...(words !== undefined && { enum: words }),
    ...(pattern !== undefined && { pattern }),
  });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:microbuild:events:v${EVENTS_VERSION}`,
    title: 'microbuild event',
    description:
      'One line of stderr of a command with --json. Pass over kinds and fields that are not here: more may come',
    type: 'object',
    required: ['kind'],
    oneOf: Object.entries(EVENTS).map(([kind, { describe, fields }]: [string, EventKind]) => ({
      title: kind,
      description: describe,
      properties: {
        kind: { const: kind },
        ...Object.fromEntries(
          Object.entries(fields).map(([name, field]) => [name, fieldSchema(field)]),
        ),
      },
      required: [
        'kind',
        ...Object.entries(fields).flatMap(([name, { optional }]) => (optional ? [] : [name])),
      ],
    })),
  };
}
