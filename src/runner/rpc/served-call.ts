/** The call that the running code serves, so that calls it makes go back to the caller by themselves. */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { CallContext } from './binder.ts';

export const servedCall = new AsyncLocalStorage<CallContext>();
