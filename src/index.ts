/**
 * The public API of microbuild: re-exports only. The library reports typed events to a `Reporter` and
 * throws typed errors; it never prints.
 *
 * @example
 * const recipe = await readRecipe('recipes/hello');
 * const { path } = await buildImage({ recipe, output: 'out/hello', ...options });
 * await verifyBundle(await openBundle(path), { trustedKey, level: 'full' });
 */

export { buildImage, type BuildOptions, type BuildResult } from './builder/build.ts';
export { inspectPath } from './bundle/inspect.ts';
export { type Manifest } from './bundle/manifest.ts';
export { openBundle, type Bundle } from './bundle/open.ts';
export { resignBundle } from './bundle/resign.ts';
export type { ResignBundleOptions } from './bundle/resign-options.ts';
export {
  verifyBundle,
  type ChainLink,
  type VerifiedBundle,
  type VerifyBundleOptions,
} from './bundle/verify.ts';
export type { DumpField, DumpNode } from './core/dump.ts';
export * from './core/errors.ts';
export { silentReporter, type BuildEvent, type Reporter } from './core/events.ts';
export { readRecipe, type Recipe } from './recipe/parse.ts';
export type { DeathReason, VmCallbacks, VmState } from './runner/life-cycle.ts';
export { compileAidl, type AidlProgram, type CompileOptions } from './runner/aidl/compile.ts';
export { aidlSources, readAidlFiles } from './runner/aidl/files.ts';
export { aidlInterface, wrapNullable, type AidlInterface } from './runner/aidl/generated.ts';
export {
  aidlProxy,
  aidlStub,
  releaseProxy,
  type AidlProxy,
  type StubOptions,
} from './runner/aidl/objects.ts';
export { parseAidl } from './runner/aidl/parse.ts';
export { AidlReader } from './runner/aidl/reader.ts';
export type { InterfaceDescription } from './runner/aidl/types.ts';
export { AidlWriter } from './runner/aidl/writer.ts';
export { RemoteBinder, type LocalBinder } from './runner/rpc/binder.ts';
export { openRpcClient, type RpcClient, type RpcClientOptions } from './runner/rpc/client.ts';
export { BinderException, BinderStatusError, RpcSessionError } from './runner/rpc/errors.ts';
export { RpcServer, type RpcServerOptions } from './runner/rpc/server.ts';
export {
  startVm,
  type Vm,
  type VmContext,
  type VmOptions,
  type VmTimeouts,
} from './runner/session.ts';
export { describeFailure, verdictExitCode, type Verdict } from './runner/verdict.ts';
export { resignImageFile, type ResignImageOptions } from './signing/avb/resign-image.ts';
export { signDsse } from './signing/dsse.ts';
export { verifyDsse, type DsseTrust, type VerifiedDsse } from './signing/verify-dsse.ts';
export { readTrustedAvbKey } from './signing/keys/trusted-key.ts';
