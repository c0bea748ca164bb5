// A sink inside a stage: every record goes to an output stream, as other people's consumers read it.

import type { Event } from '../operators/event.ts'
import type { Operator } from '../operators/operator.ts'

/** The accepted events, each exactly once, as they were sent, with the user they count for. */
export function eventStream(output: string): Operator<Event, Event> {
  return {
    name: `publish ${output}`,
    version: 1,
    settings: { output },
    stores: [],
    process(batch, ctx) {
      for (const record of batch) ctx.emit(output, { ...record.value.fields, user_id: record.value.user }, record)
      return batch
    },
  }
}
