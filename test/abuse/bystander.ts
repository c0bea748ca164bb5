// Well-behaved clients beside others that are not: one sends an event and looks at the health in turn, at its own pace, and
// measures how long each answer takes; another sends batches at a rate, and counts what the log took.

import { setTimeout as sleep } from 'node:timers/promises'

export interface BystanderOptions {
  readonly url: string
  readonly token: string | null
  /** Milliseconds between two requests. */
  readonly everyMs: number
  /** Events a second in batches; default: none. */
  readonly ingestPerSecond?: number
}

export interface BystanderReport {
  readonly requests: number
  /** Answers that were not 200: none is expected. */
  readonly failed: readonly string[]
  /** Ids of the events that were taken. */
  readonly taken: readonly string[]
  readonly p50Ms: number
  readonly p99Ms: number
  /** Events of batches that were taken, a second. */
  readonly ingestedPerSecond: number
}

/** Events of a batch. */
const BATCH = 100
/** Milliseconds after which an answer counts as missing. */
const PATIENCE_MS = 10_000

export class Bystander {
  readonly #o: BystanderOptions
  readonly #failed: string[] = []
  readonly #taken: string[] = []
  #latenciesMs: number[] = []
  #stopped = false
  readonly #done: Promise<unknown>
  #ingested = 0
  #since = performance.now()

  constructor(options: BystanderOptions) {
    this.#o = options
    this.#done = Promise.all([this.#run(), this.#ingest(options.ingestPerSecond ?? 0)])
  }

  /** What was measured until now; begins anew. */
  takeReport(): BystanderReport {
    const sorted = this.#latenciesMs.sort((a, b) => a - b)
    this.#latenciesMs = []
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
    const [failed, taken] = [this.#failed.splice(0), this.#taken.splice(0)]
    const seconds = (performance.now() - this.#since) / 1_000
    const ingestedPerSecond = Math.round(this.#ingested / seconds)
    this.#ingested = 0
    this.#since = performance.now()
    return { requests: sorted.length, failed, taken, p50Ms: at(0.5), p99Ms: at(0.99), ingestedPerSecond }
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

  /** Batch after batch at a rate; what is late is made up for, so that a delay alone lowers nothing. */
  async #ingest(perSecond: number): Promise<void> {
    const started = performance.now()
    for (let i = 0; perSecond > 0 && !this.#stopped; i++) {
      const early = started + ((i * BATCH) / perSecond) * 1_000 - performance.now()
      if (early > 0) await sleep(early)
      const events = Array.from({ length: BATCH }, (_, n) => eventOf(`batch-${i}.${n}`, `user-${n}`))
      const problem = await this.#post(events).catch(String)
      if (problem === null) this.#ingested += BATCH
      else this.#failed.push(problem)
    }
  }

  async #event(id: string): Promise<string | null> {
    const problem = await this.#post(eventOf(id, 'bystander'))
    if (problem === null) this.#taken.push(id)
    return problem
  }

  async #post(body: object): Promise<string | null> {
    const headers = { 'content-type': 'application/json', ...this.#authorization() }
    const init = { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS) }
    const answer = await fetch(`${this.#o.url}/v1/events`, init)
    const text = await answer.text()
    return answer.status === 200 ? null : `${answer.status} ${text}`
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

const eventOf = (id: string, user: string): object => {
  return { type: 'page_view', event_id: id, event_time: Date.now(), user_id: user, page_id: 'p' }
}
