/** The machine that a command names. */

import { UsageError } from '../core/errors.ts';
import { type FoundVm, findVm, listVms, registryPath } from '../runner/registry.ts';
import { sweepRegistry } from '../runner/sweep.ts';

/**
 * @param wanted `running`, or `any` that left a record.
 * @throws {UsageError} `input`, naming those there are.
 */
export async function namedVm(
  name: string,
  wanted: 'running' | 'any',
  action: string,
  env: NodeJS.ProcessEnv,
): Promise<FoundVm> {
  const registry = registryPath(env);
  await sweepRegistry(registry);
  const vm = await findVm(name, registry);
  if (vm !== undefined && (wanted === 'any' || vm.running)) return vm;
  const others = (await listVms(registry)).filter((each) => wanted === 'any' || each.running);
  const names = others.map((each) => each.name).join(', ');
  throw new UsageError(
    'input',
    `Cannot ${action} "${name}": ${wanted === 'any' ? 'there is no such VM' : 'no such VM is running'}`,
    {
      hint: names === '' ? 'Start one with microbuild run BUNDLE' : `There are: ${names}`,
    },
  );
}
