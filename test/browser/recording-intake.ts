// An intake that keeps what it is given, judged by the rules of events, and can be away: for tests of what comes before it.

import { EVENT_SETTINGS, isRejected, parseEventBytes } from '../../operators/event.ts'
import type { EventAnswer, EventIntake } from '../../sinks/event-intake.ts'

export type Recorded = Record<string, unknown>

export class RecordingIntake implements EventIntake {
  /** Every event that was taken, in order. */
  readonly taken: Recorded[] = []
  /** Every byte string that was given, taken or not. */
  readonly given: Uint8Array[] = []
  /** What the log says while it is not there. */
  away: Extract<EventAnswer, { kind: 'unknown' | 'full' }> | null = null
  /** Held back until this settles. */
  gate: Promise<void> = Promise.resolve()

  async take(events: readonly Uint8Array[]): Promise<EventAnswer[]> {
    // Decided now: a test that sees what was given may change it for the next.
    const { away } = this
    this.given.push(...events)
    await this.gate
    return events.map((bytes) => away ?? this.#judge(bytes))
  }

  #judge(bytes: Uint8Array): EventAnswer {
    const event = parseEventBytes(bytes, EVENT_SETTINGS)
    if (isRejected(event)) return { kind: 'refused', ...event }
    if (event.type === 'erase' || event.type === 'consent')
      return { kind: 'refused', code: 'NOT_IMPLEMENTED', field: null }
    this.taken.push({ ...event.fields })
    return { kind: 'taken', stream: 'recorded', seq: this.taken.length, index: 0 }
  }
}
