// A well-behaved client beside others that are not: sends an event and looks at the health in turn, at its own pace, and
// measures how long each answer takes.

import { setTimeout as sleep } from 'node:timers/promises'

export interface BystanderOptions {
  readonly url: string
  readonly token: string | null
  /** Milliseconds between two requests. */
  readonly everyMs: number
}

export interface BystanderReport {
  readonly requests: number
  /** Answers that were not 200: none is expected. */
  readonly failed: readonly string[]
  /** Ids of the events that were taken. */
  readonly taken: readonly string[]
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Milliseconds after which an answer counts as missing. */
const PATIENCE_MS = 10_000

export class Bystander {
  readonly #o: BystanderOptions
  readonly #failed: string[] = []
  readonly #taken: string[] = []
  #latenciesMs: number[] = []
  #stopped = false
  readonly #done: Promise<void>

  constructor(options: BystanderOptions) {
    this.#o = options
    this.#done = this.#run()
  }

  /** What was measured until now; begins anew. */
  takeReport(): BystanderReport {
    const sorted = this.#latenciesMs.sort((a, b) => a - b)
    this.#latenciesMs = []
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
    const [failed, taken] = [this.#failed.splice(0), this.#taken.splice(0)]
    return { requests: sorted.length, failed, taken, p50Ms: at(0.5), p99Ms: at(0.99) }
  }

  async stop(): Promise<BystanderReport> {
    this.#stopped = true
    await this.#done
    return this.takeReport()
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const started = performance.now()
      const problem = await (i % 2 === 0 ? this.#event(`bystander-${i}`) : this.#health()).catch(String)
      this.#latenciesMs.push(performance.now() - started)
      if (problem !== null) this.#failed.push(problem)
      await sleep(this.#o.everyMs)
    }
  }

  async #event(id: string): Promise<string | null> {
    const event = { type: 'page_view', event_id: id, event_time: Date.now(), user_id: 'bystander', page_id: 'p' }
    const headers = { 'content-type': 'application/json', ...this.#authorization() }
    const init = { method: 'POST', headers, body: JSON.stringify(event), signal: AbortSignal.timeout(PATIENCE_MS) }
    const answer = await fetch(`${this.#o.url}/v1/events`, init)
    const text = await answer.text()
    if (answer.status !== 200) return `${answer.status} ${text}`
    this.#taken.push(id)
    return null
  }

  async #health(): Promise<string | null> {
    const answer = await fetch(`${this.#o.url}/healthz`, { signal: AbortSignal.timeout(PATIENCE_MS) })
    const text = await answer.text()
    return answer.status === 200 ? null : `${answer.status} ${text}`
  }

  #authorization(): Record<string, string> {
    return this.#o.token === null ? {} : { authorization: `Bearer ${this.#o.token}` }
  }
}
