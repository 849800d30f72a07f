/** An XML document as binary XML holds it: elements with typed attributes. */

export const ANDROID_NAMESPACE = 'http://schemas.android.com/apk/res/android';

export type AxmlValue =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  /** Any other `Res_value`: a reference, a dimension, a colour. */
  | { readonly kind: 'other'; readonly dataType: number; readonly data: number };

export interface AxmlAttribute {
  /** The namespace's URI; absent for attributes without one, such as `package`. */
  readonly namespace?: string;
  readonly name: string;
  /** The attribute's id in Android's resources, by which the platform finds it. */
  readonly resourceId?: number;
  readonly value: AxmlValue;
}

export interface AxmlElement {
  readonly name: string;
  readonly attributes: readonly AxmlAttribute[];
  readonly children: readonly AxmlElement[];
}
