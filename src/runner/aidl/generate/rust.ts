/**
 * Rust from AIDL: for each interface a trait, a server that serves an implementation of it and a proxy
 * that implements it by calls; for parcelables structs, for unions and enums their like. All in one file,
 * whose modules are the packages.
 */

import type { AidlProgram } from '../compile.ts';
import type {
  ConstantDescription,
  EnumDescription,
  InterfaceDescription,
  StructureDescription,
  TypeDescription,
} from '../types.ts';
import { generateInterface } from './rust-interface.ts';
import { modulePath, rustName, RustTypes, typeName } from './rust-types.ts';
import { CodeText, docLines, neededTypes, upperFirst, withNested } from './text.ts';

export interface RustOptions {
  /** The path of `microbuild_aidl_runtime`, or of what exports it under another name. */
  readonly runtime?: string;
  /** The version and hash of the frozen interfaces, which servers answer to those who ask. */
  readonly version?: number | undefined;
  readonly hash?: string | undefined;
}

/** A module of the file: types that stand in it, and modules below it. */
interface Module {
  readonly path: readonly string[];
  readonly types: TypeDescription[];
  readonly modules: Map<string, Module>;
}

const ALLOWED =
  'clippy::all, clippy::pedantic, dead_code, non_camel_case_types, non_snake_case, ' +
  'non_upper_case_globals, unused_imports, unused_mut, unused_variables';

/** The same program gives the same text. */
export function generateRust(program: AidlProgram, options: RustOptions = {}): string {
  const root: Module = { path: [], types: [], modules: new Map() };
  for (const description of neededTypes(program)) {
    for (const each of withNested(description)) moduleOf(root, modulePath(each)).types.push(each);
  }
  const code = new CodeText('    ');
  code.line('// Made by `microbuild aidl rust`: change the .aidl files, not this.', '');
  writeModule(code, root, options);
  return code.toString();
}

function moduleOf(root: Module, path: readonly string[]): Module {
  let module = root;
  for (const name of path) {
    let next = module.modules.get(name);
    if (next === undefined) {
      next = { path: [...module.path, name], types: [], modules: new Map() };
      module.modules.set(name, next);
    }
    module = next;
  }
  return module;
}

function writeModule(code: CodeText, module: Module, options: RustOptions): void {
  const isRoot = module.path.length === 0;
  if (module.types.length > 0) {
    const runtime = options.runtime ?? 'microbuild_aidl_runtime';
    code.line(`use ${runtime.startsWith('crate::') ? '' : '::'}${runtime} as _aidl;`);
  }
  const types = new RustTypes(module.path);
  for (const description of module.types) {
    code.gap();
    writeType(code, description, types, options);
  }
  for (const [name, below] of [...module.modules].sort(([a], [b]) => (a < b ? -1 : 1))) {
    code.gap();
    if (isRoot) code.line(`#[allow(${ALLOWED})]`);
    code.block(`pub mod ${name} {`, () => writeModule(code, below, options));
  }
}

function writeType(
  code: CodeText,
  description: TypeDescription,
  types: RustTypes,
  options: RustOptions,
): void {
  switch (description.kind) {
    case 'interface':
      generateInterface(code, description, types, options);
      break;
    case 'parcelable':
      writeParcelable(code, description, types);
      break;
    case 'union':
      writeUnion(code, description, types);
      break;
    case 'enum':
      writeEnum(code, description);
      return;
  }
  writeConstants(code, description, types);
}

export const writeDoc = (code: CodeText, doc: string | undefined): void => {
  for (const line of docLines(doc)) code.line(line === '' ? '///' : `/// ${line}`);
};

function writeParcelable(
  code: CodeText,
  description: StructureDescription,
  types: RustTypes,
): void {
  const { fields, fullName } = description;
  const name = typeName(description);
  writeDoc(code, description.doc);
  code.line('#[derive(Clone, Debug, PartialEq)]');
  code.block(`pub struct ${name} {`, () => {
    for (const field of fields) {
      writeDoc(code, field.doc);
      code.line(`pub ${rustName(field.name)}: ${types.field(field.type)},`);
    }
  });
  code.gap().block(`impl Default for ${name} {`, () => {
    code.block('fn default() -> Self {', () => {
      code.block('Self {', () => {
        for (const field of fields) {
          code.line(`${rustName(field.name)}: ${types.initial(field.type, field.value)},`);
        }
      });
    });
  });
  code.gap().block(`impl _aidl::Structure for ${name} {`, () => {
    code.line(`const DESCRIPTOR: &'static str = ${JSON.stringify(fullName)};`).gap();
    code.block(
      'fn encode_fields(&self, _aidl_out: &mut _aidl::Encoder) -> _aidl::ParcelResult<()> {',
      () => {
        code.block(
          '_aidl_out.sized(|_aidl_out| {',
          () => {
            for (const field of fields)
              code.line(`_aidl_out.write(&self.${rustName(field.name)})?;`);
            code.line('Ok(())');
          },
          '})',
        );
      },
    );
    code.gap();
    code.block(
      "fn decode_fields(_aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::ParcelResult<Self> {",
      () => {
        code.line('let mut _aidl_value = Self::default();');
        code.line('let _aidl_end = _aidl_input.begin_sized()?;');
        for (const field of fields) {
          code.block('if _aidl_input.has_more(&_aidl_end) {', () => {
            code.line(`_aidl_value.${rustName(field.name)} = _aidl_input.read()?;`);
          });
        }
        code.line('_aidl_input.end_sized(_aidl_end)?;', 'Ok(_aidl_value)');
      },
    );
  });
}

function writeUnion(code: CodeText, description: StructureDescription, types: RustTypes): void {
  const { fields, fullName } = description;
  const name = typeName(description);
  const variants = fields.map((field) => ({ ...field, variant: rustName(upperFirst(field.name)) }));
  writeDoc(code, description.doc);
  code.line('#[derive(Clone, Debug, PartialEq)]');
  code.block(`pub enum ${name} {`, () => {
    for (const { doc, variant, type } of variants) {
      writeDoc(code, doc);
      code.line(`${variant}(${types.field(type)}),`);
    }
  });
  const [first] = variants;
  if (first !== undefined) {
    code.gap().block(`impl Default for ${name} {`, () => {
      code.block('fn default() -> Self {', () => {
        code.line(`Self::${first.variant}(${types.initial(first.type, first.value)})`);
      });
    });
  }
  code.gap().block(`impl _aidl::Structure for ${name} {`, () => {
    code.line(`const DESCRIPTOR: &'static str = ${JSON.stringify(fullName)};`).gap();
    code.block(
      'fn encode_fields(&self, _aidl_out: &mut _aidl::Encoder) -> _aidl::ParcelResult<()> {',
      () => {
        code.block('match self {', () => {
          for (const [tag, { variant }] of variants.entries()) {
            code.block(`Self::${variant}(_aidl_value) => {`, () => {
              code.line(`_aidl_out.write(&${tag}_i32)?;`, '_aidl_out.write(_aidl_value)');
            });
          }
        });
      },
    );
    code.gap();
    code.block(
      "fn decode_fields(_aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::ParcelResult<Self> {",
      () => {
        code.block('match _aidl_input.read::<i32>()? {', () => {
          for (const [tag, { variant }] of variants.entries()) {
            code.line(`${tag} => _aidl_input.read().map(Self::${variant}),`);
          }
          code.line('_ => Err(_aidl::StatusCode::BAD_VALUE),');
        });
      },
    );
  });
}

function writeEnum(code: CodeText, description: EnumDescription): void {
  const backing = { byte: 'i8', int: 'i32', long: 'i64' }[description.backing];
  code.block('_aidl::aidl_enum! {', () => {
    writeDoc(code, description.doc);
    code.block(`${typeName(description)} : ${backing} {`, () => {
      for (const { name, doc, value } of description.enumerators) {
        writeDoc(code, doc);
        code.line(`${rustName(name)} = ${value},`);
      }
    });
  });
}

function writeConstants(
  code: CodeText,
  description: InterfaceDescription | StructureDescription,
  types: RustTypes,
): void {
  if (description.constants.length === 0) return;
  code.gap().block(`impl ${typeName(description)} {`, () => {
    for (const constant of description.constants) writeConstant(code, constant, types);
  });
}

function writeConstant(code: CodeText, constant: ConstantDescription, types: RustTypes): void {
  const { name, doc, type, value } = constant;
  const written = type.kind === 'String' ? "&'static str" : types.owned(type);
  writeDoc(code, doc);
  code.line(`pub const ${rustName(name)}: ${written} = ${types.literal(type, value, true)};`);
}
