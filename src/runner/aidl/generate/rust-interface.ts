/** One interface in Rust: trait, server and proxy. */

import { isOutArray } from '../objects.ts';
import {
  type AidlArgument,
  type AidlMethod,
  formatMethod,
  type InterfaceDescription,
} from '../types.ts';
import {
  baseName,
  isCopied,
  rustName,
  rustTypeName,
  type RustTypes,
  rustVariable,
  typeName,
} from './rust-types.ts';
import { type CodeText, docLines } from './text.ts';

interface VersionOptions {
  readonly version?: number | undefined;
  readonly hash?: string | undefined;
}

export function generateInterface(
  code: CodeText,
  description: InterfaceDescription,
  types: RustTypes,
  options: VersionOptions,
): void {
  const trait = rustTypeName(description.name);
  const proxy = typeName(description);
  const server = `Bn${baseName(description.name)}`;
  for (const line of docLines(description.doc)) code.line(line === '' ? '///' : `/// ${line}`);
  code.block(`pub trait ${trait}: Send + Sync + 'static {`, () => {
    for (const method of description.methods) {
      for (const line of docLines(method.doc)) code.line(line === '' ? '///' : `/// ${line}`);
      code.line(`${signature(method, types)};`);
    }
  });
  code.gap();
  code.line(`/// Serves an implementation of [\`${trait}\`].`);
  code.line(`pub struct ${server}<T>(pub T);`);
  code.gap().block(`impl<T: ${trait}> _aidl::Service for ${server}<T> {`, () => {
    code.block('fn descriptor(&self) -> &str {', () => void code.line(`${proxy}::DESCRIPTOR`));
    code.gap();
    code.block(
      "fn on_transact(&self, _aidl_code: u32, _aidl_input: &mut _aidl::Decoder<'_>) -> _aidl::Result<_aidl::Encoder> {",
      () => {
        code.line('let mut _aidl_reply = _aidl::Encoder::reply();');
        code.block('match _aidl_code {', () => {
          for (const method of description.methods) serveMethod(code, method, types);
          if (options.version !== undefined) {
            code.line(
              `_aidl::GET_INTERFACE_VERSION => _aidl_reply.write(&${options.version}_i32)?,`,
            );
          }
          if (options.hash !== undefined) {
            code.line(
              `_aidl::GET_INTERFACE_HASH => _aidl_reply.write_str(${JSON.stringify(options.hash)}),`,
            );
          }
          code.line('_ => return Err(_aidl::StatusCode::UNKNOWN_TRANSACTION.into()),');
        });
        code.line('Ok(_aidl_reply)');
      },
    );
  });
  code.gap().block('_aidl::aidl_proxy! {', () => {
    code.line(`/// Calls an object that serves [\`${trait}\`].`, proxy);
  });
  code.gap().block(`impl ${proxy} {`, () => {
    code.line(`pub const DESCRIPTOR: &'static str = ${JSON.stringify(description.descriptor)};`);
    for (const [name, constant, type] of META) {
      code.gap().block(`pub fn ${name}(&self) -> _aidl::Result<${type}> {`, () => {
        code.line(
          `let _aidl_reply = self.0.call(Self::DESCRIPTOR, _aidl::${constant}, |_| Ok(()))?;`,
        );
        code.line('Ok(_aidl_reply.results()?.read()?)');
      });
    }
  });
  code.gap().block(`impl ${trait} for ${proxy} {`, () => {
    for (const method of description.methods) {
      code.gap();
      callMethod(code, method, types);
    }
  });
}

const META = [
  ['getInterfaceVersion', 'GET_INTERFACE_VERSION', 'i32'],
  ['getInterfaceHash', 'GET_INTERFACE_HASH', '_aidl::lib::String'],
] as const;

function signature(method: AidlMethod, types: RustTypes): string {
  const parameters = method.args.map(
    (arg) => `, ${rustVariable(arg.name)}: ${types.parameter(arg)}`,
  );
  const returns = method.returns === null ? '()' : types.owned(method.returns);
  return `fn ${rustName(method.name)}(&self${parameters.join('')}) -> _aidl::Result<${returns}>`;
}

const isNullable = ({ type }: AidlArgument): boolean => 'nullable' in type && type.nullable;

const isSlice = ({ type }: AidlArgument): boolean => type.kind === 'array' && type.size === null;

function serveMethod(code: CodeText, method: AidlMethod, types: RustTypes): void {
  code.line(`// ${formatMethod(method)}`);
  code.block(`${method.code} => {`, () => {
    for (const arg of method.args) {
      const name = rustVariable(arg.name);
      if (arg.direction === 'in') {
        code.line(`let ${name}: ${types.owned(arg.type)} = _aidl_input.read()?;`);
        continue;
      }
      const type = types.owned(arg.type, 'out');
      if (arg.direction === 'inout') {
        code.line(`let mut ${name}: ${type} = _aidl_input.read()?;`);
      } else if (isOutArray(arg)) {
        const read = '_aidl_input.read_out_array()?';
        const found = isNullable(arg) ? read : `${read}.ok_or(_aidl::StatusCode::UNEXPECTED_NULL)?`;
        code.line(`let mut ${name}: ${type} = ${found};`);
      } else {
        code.line(`let mut ${name}: ${type} = ${types.initial(arg.type, undefined)};`);
      }
    }
    const given = method.args.map((arg) => lend(arg));
    const call = `self.0.${rustName(method.name)}(${given.join(', ')})?`;
    if (method.returns === null) code.line(`${call};`);
    else code.line(`let _aidl_result = ${call};`, '_aidl_reply.write(&_aidl_result)?;');
    for (const arg of method.args) {
      if (arg.direction !== 'in') code.line(`_aidl_reply.write(&${rustVariable(arg.name)})?;`);
    }
  });
}

/** How an owned value is passed to a parameter. */
function lend(arg: AidlArgument): string {
  const name = rustVariable(arg.name);
  if (arg.direction !== 'in') return `&mut ${name}`;
  if (isCopied(arg.type)) return name;
  if (!isNullable(arg)) return `&${name}`;
  return arg.type.kind === 'String' || isSlice(arg) ? `${name}.as_deref()` : `${name}.as_ref()`;
}

function callMethod(code: CodeText, method: AidlMethod, types: RustTypes): void {
  code.block(`${signature(method, types)} {`, () => {
    const call = method.oneway ? 'call_oneway' : 'call';
    const open = `self.0.${call}(Self::DESCRIPTOR, ${method.code}, |_aidl_out| {`;
    code.block(
      method.oneway ? open : `let _aidl_reply = ${open}`,
      () => {
        for (const arg of method.args) {
          const written = writeArgument(arg);
          if (written !== undefined) code.line(written);
        }
        code.line('Ok(())');
      },
      method.oneway ? '})' : '})?;',
    );
    if (method.oneway) return;
    code.line('let mut _aidl_input = _aidl_reply.results()?;');
    if (method.returns !== null) code.line('let _aidl_result = _aidl_input.read()?;');
    for (const arg of method.args) {
      if (arg.direction !== 'in') code.line(`*${rustVariable(arg.name)} = _aidl_input.read()?;`);
    }
    code.line(method.returns === null ? 'Ok(())' : 'Ok(_aidl_result)');
  });
}

function writeArgument(arg: AidlArgument): string | undefined {
  const name = rustVariable(arg.name);
  const { type } = arg;
  if (isOutArray(arg)) {
    const length = isNullable(arg)
      ? `${name}.as_ref().map(|each| each.len())`
      : `Some(${name}.len())`;
    return `_aidl_out.write_length(${length});`;
  }
  if (arg.direction === 'out') return undefined;
  if (arg.direction === 'inout') return `_aidl_out.write(&*${name})?;`;
  if (isCopied(type)) return `_aidl_out.write(&${name})?;`;
  const nullable = isNullable(arg) ? 'nullable_' : '';
  if (type.kind === 'String') return `_aidl_out.write_${nullable}str(${name});`;
  if (isSlice(arg)) return `_aidl_out.write_${nullable}slice(${name})?;`;
  return isNullable(arg) ? `_aidl_out.write_nullable(${name})?;` : `_aidl_out.write(${name})?;`;
}
