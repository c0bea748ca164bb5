// Clients that write over HTTP and wait for what they wrote: read-your-writes through kills.
// CA1: an event is sent, with the same event_id, until it is acknowledged; then it is waited for, by user and by page behind
//      the hop. From then on it counts for everybody: no later answer may show less (read-oracle.ts, RO3).

import type { Asked, NodeClient } from './node-client.ts'
import { namesIn } from './units.ts'

/** Keys of callers lie in the growers' partition. */
const PARTITION = 1
const WAIT_MS = 10_000

export class Caller {
  readonly user: string
  readonly page: string
  /** Events that may be in the log. */
  attempted = 0
  /** Events that were acknowledged and seen. */
  confirmed = 0
  readonly #client: NodeClient
  readonly #find: (text: string) => void

  constructor(number: number, client: NodeClient, find: (text: string) => void) {
    this.user = namesIn(PARTITION, 'caller-', number + 1).at(-1)!
    this.page = namesIn(PARTITION, 'called-', number + 1).at(-1)!
    this.#client = client
    this.#find = find
  }

  /** Writes and reads until it may not go on. */
  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const event = { type: 'page_view', event_id: `${this.user}.${this.confirmed}`, event_time: Date.now() }
      this.attempted = this.confirmed + 1
      const body = JSON.stringify({ ...event, user_id: this.user, page_id: this.page })
      const taken = await this.#until(goesOn, 'POST', '/v1/events', body)
      if (taken === null) return
      const { position } = (taken as { events: [{ position: string }] }).events[0]
      for (const [entity, key] of [
        ['user', this.user],
        ['page', this.page],
      ] as const) {
        const query = `?timeout_ms=${WAIT_MS}&wait=${encodeURIComponent(position)}`
        const read = await this.#until(goesOn, 'GET', `/v1/features/page_views_1h/${entity}/${key}${query}`)
        if (read === null) return
        const { value } = read as { value: number }
        if (value !== this.attempted) this.#find(`${key} is ${value} after the wait for ${this.attempted}, ${position}`)
      }
      this.confirmed = this.attempted
    }
  }

  /** The answer, asked for until there is one; null: it may not go on. */
  async #until(goesOn: () => boolean, method: string, path: string, body?: string): Promise<unknown> {
    while (goesOn()) {
      const asked: Asked = await this.#client.http(method, path, body)
      if (asked.kind === 'answer') return asked.body
    }
    return null
  }
}
