// Asking the log while the broker is away: a named wait, for ever (protocol.md, section 5).
// PA1: only LogUnavailable is waited for. Whatever has a code halts, and anything else is a bug and must be seen.

import { LogUnavailable } from './log.ts'
import type { Runtime } from './runtime.ts'

/** `pace`: of a feeder, that who reads has committed what it sent before (topology/pace.ts). */
export type WaitCause = 'room' | 'broker' | 'pace'
/** Called with a cause when a wait begins or goes on, and with null when what it was for has happened. */
export type OnWait = (cause: WaitCause | null, on: string, detail: string) => void

/** Milliseconds between tries while the broker is away or a stream is full: quick at first, patient later. */
const BACKOFF_MS = [5, 20, 50, 100, 250, 500, 1_000]

/** Milliseconds to wait after the n-th try (from 0) in a row that brought nothing. */
export function backoffMs(tries: number): number {
  return BACKOFF_MS[Math.min(tries, BACKOFF_MS.length - 1)]!
}

/** The answer, however long it takes. `on` names what is waited for. The caller says when the wait is over. */
export async function askPatiently<T>(
  { runtime, onWait }: { readonly runtime: Runtime; readonly onWait: OnWait },
  on: string,
  ask: () => Promise<T>,
  isGivenUp: () => boolean = () => false,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof LogUnavailable) || isGivenUp()) throw error
      onWait('broker', on, error.message)
      await runtime.sleep(backoffMs(tries))
    }
  }
}
