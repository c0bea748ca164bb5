// What the front door over HTTP asks of a node for events that come in, and what becomes of each. topology/ingest.ts answers.
// EI1: `taken` is said after the log has the event, and only then.
// EI2: events of one call that go to one partition stay in their order.

import type { Rejected } from '../operators/event.ts'

export type EventAnswer =
  | { readonly kind: 'taken'; readonly stream: string; readonly seq: number; readonly index: number }
  /** No event, by contract.md, section 1, or one that is not acted on yet (NOT_IMPLEMENTED). Nothing is in the log. */
  | {
      readonly kind: 'refused'
      readonly code: Rejected['code'] | 'NOT_IMPLEMENTED'
      readonly field: string | null
      readonly hint?: string
    }
  /** The log did not say that it has it: it may. Sending it again with the same event_id is safe. */
  | { readonly kind: 'unknown'; readonly cause: string }
  /** The log has no room. */
  | { readonly kind: 'full'; readonly cause: string }

export interface EventIntake {
  /** Events as the bytes of one JSON text each. Answers in their order. */
  take(events: readonly Uint8Array[]): Promise<EventAnswer[]>
}
