/** What the parser makes of an AIDL file: the text's structure, with nothing looked up yet. */

import type { Place, SourceFile } from './source.ts';

/** `depth` is how deep the expression nests; the parser bounds it. */
export type Expression = { readonly place: Place; readonly depth: number } & (
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'integer' | 'float' | 'char' | 'string'; readonly text: string }
  | { readonly kind: 'reference'; readonly name: string }
  | { readonly kind: 'array'; readonly items: readonly Expression[] }
  | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
);

export interface AnnotationParameter {
  readonly name: string;
  readonly place: Place;
  readonly value: Expression;
}

export interface Annotation {
  readonly name: string;
  readonly place: Place;
  readonly parameters: readonly AnnotationParameter[];
}

export interface TypeNode {
  /** As written, maybe with dots. */
  readonly name: string;
  readonly place: Place;
  readonly annotations: readonly Annotation[];
  /** `List<T>`: what stands between the angles. */
  readonly args: readonly TypeNode[];
  /** `[]` is `dynamic`; `[N][M]` lists its sizes, outermost first. */
  readonly array: 'dynamic' | readonly Expression[] | undefined;
}

interface Named {
  readonly name: string;
  /** Of the name. */
  readonly place: Place;
  readonly doc: string | undefined;
}

export interface ConstantNode extends Named {
  readonly kind: 'constant';
  readonly type: TypeNode;
  readonly value: Expression;
}

export interface FieldNode extends Named {
  readonly kind: 'field';
  readonly type: TypeNode;
  readonly value: Expression | undefined;
}

export type Direction = 'in' | 'out' | 'inout';

export interface ArgumentNode extends Named {
  readonly type: TypeNode;
  readonly direction: Direction | undefined;
}

export interface MethodNode extends Named {
  readonly kind: 'method';
  readonly oneway: boolean;
  /** Its annotations are those of the method too. */
  readonly returns: TypeNode;
  readonly args: readonly ArgumentNode[];
  readonly id: { readonly text: string; readonly place: Place } | undefined;
}

export interface Enumerator extends Named {
  readonly value: Expression | undefined;
}

interface DeclarationBase extends Named {
  readonly source: SourceFile;
  readonly annotations: readonly Annotation[];
  readonly nested: readonly Declaration[];
  readonly constants: readonly ConstantNode[];
}

export interface InterfaceNode extends DeclarationBase {
  readonly kind: 'interface';
  readonly oneway: boolean;
  readonly methods: readonly MethodNode[];
}

export interface StructureNode extends DeclarationBase {
  readonly kind: 'parcelable' | 'union';
  readonly typeParameters: readonly string[];
  readonly fields: readonly FieldNode[];
}

/** A parcelable whose contents are written in another language. */
export interface UnstructuredNode extends DeclarationBase {
  readonly kind: 'unstructured';
}

export interface EnumNode extends DeclarationBase {
  readonly kind: 'enum';
  readonly enumerators: readonly Enumerator[];
}

export type Declaration = InterfaceNode | StructureNode | UnstructuredNode | EnumNode;

export interface Import {
  readonly name: string;
  readonly place: Place;
}

export interface Document {
  readonly source: SourceFile;
  readonly packageName: string;
  readonly imports: readonly Import[];
  readonly declarations: readonly Declaration[];
}
