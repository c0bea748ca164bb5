// What every rate is compared with: reading the input, and reading and parsing it, in one thread.

import type { Log } from '../log/log.ts'
import type { Plan } from '../topology/plan.ts'
import { inputStreams, readAll } from './stream.ts'

interface Read {
  readonly plan: Plan
  readonly log: Log
}

/** Reads the whole input; `use` makes a number of each payload, so that nothing is optimised away. */
export async function consume({ plan, log }: Read, use: (payload: Uint8Array) => number) {
  let [bytes, messages, used] = [0, 0, 0]
  for await (const batch of readAll(log, inputStreams(plan))) {
    messages += batch.length
    for (const { payload } of batch) {
      bytes += payload.length
      used += use(payload)
    }
  }
  return { bytes, messages, used }
}

/** The same with `JSON.parse` of each payload. Throws if these are not `events` events. */
export async function consumeAndParse(run: Read, events: number): Promise<void> {
  const { used } = await consume(run, (payload) => {
    const { buffer, byteOffset, byteLength } = payload
    const value: unknown = JSON.parse(Buffer.from(buffer, byteOffset, byteLength).toString('utf8'))
    return Array.isArray(value) ? value.length : 1
  })
  if (used !== events) throw new Error(`${used} events are in the stream, not ${events}`)
}
