// A sink inside a stage: every record goes to an output stream, as other people's consumers read it.

import type { Event } from '../operators/event.ts'
import type { Operator } from '../operators/operator.ts'

/**
 * The accepted events, each exactly once, as they were sent, with the user they count for. `but conversions`: those are not
 * accepted here (sinks/conversion-stream.ts).
 */
export function eventStream(output: string, which: 'all' | 'but conversions' = 'all'): Operator<Event, Event> {
  return {
    name: `publish ${output}`,
    version: 1,
    settings: which === 'all' ? { output } : { output, which },
    stores: [],
    process(batch, ctx) {
      for (const record of batch) {
        const { type, fields, user } = record.value
        if (which === 'all' || type !== 'conversion') ctx.emit(output, { ...fields, user_id: user }, record)
      }
      return batch
    },
  }
}
