/** Reads the parts of a SEQUENCE in their order, as a specification lists them. */

import {
  childrenOf,
  CLASS_CONTEXT,
  derError,
  formatTag,
  isTag,
  TAG,
  type Element,
} from './element.ts';
import { expectForm, expectTag } from './values.ts';

/** What is left of a SEQUENCE. */
export interface Fields {
  /** The next part, whatever it is. */
  any(field: string): Element;
  /** The next part, which must be of this universal type. */
  next(tagNumber: number, field: string): Element;
  /** The next part if it is of this universal type. */
  optional(tagNumber: number, field: string): Element | undefined;
  /** The next part if it is tagged `[number]`; `constructed` says how it must be written. */
  context(number: number, field: string, constructed: boolean): Element | undefined;
  /** What is next, without taking it. */
  peek(): Element | undefined;
  /**
   * Nothing may be left. BER readers of old pass over what they do not know, so this one does.
   */
  end(): void;
}

/**
 * @param name The specification's name of the SEQUENCE, for errors.
 * @throws {FormatError} `der` when the value is none; so do the functions.
 */
export function fieldsOf(sequence: Element, name: string): Fields {
  expectTag(sequence, TAG.SEQUENCE, name);
  const parts = childrenOf(sequence);
  let index = 0;
  const any = (field: string): Element => {
    const part = parts[index];
    if (part === undefined) {
      throw derError('truncated', `${name} ends before ${field}`, {
        offset: sequence.offset,
        field: `${name}.${field}`,
      });
    }
    index += 1;
    return part;
  };
  return {
    any,
    peek: () => parts[index],
    next(tagNumber, field) {
      const part = any(field);
      expectTag(part, tagNumber, `${name}.${field}`);
      return part;
    },
    optional(tagNumber, field) {
      const part = parts[index];
      if (part === undefined || !isTag(part, tagNumber)) return undefined;
      return this.next(tagNumber, field);
    },
    context(number, field, constructed) {
      const part = parts[index];
      if (part === undefined || !isTag(part, number, CLASS_CONTEXT)) return undefined;
      expectForm(part, constructed, `${name}.${field}`);
      index += 1;
      return part;
    },
    end() {
      const part = parts[index];
      if (part === undefined || sequence.rules === 'ber') return;
      throw derError(
        'trailing-data',
        `${name} has ${formatTag(part.tagNumber, part.tagClass)} after its last part`,
        { offset: part.offset, field: name },
      );
    },
  };
}

/** The one value inside an explicit tag. */
export function explicitValue(element: Element, field: string): Element {
  const [value, ...more] = childrenOf(element);
  if (value === undefined || (more.length > 0 && element.rules === 'der')) {
    throw derError('bad-value', `${field} does not hold one value`, {
      offset: element.offset,
      field,
    });
  }
  return value;
}
