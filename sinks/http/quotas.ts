// What a namespace may ask of its node's front door, all its clients together: events in, keys read.
// QU1: a request is let in whole or not at all, before anything of it is done; nobody else's namespace is touched by it.
// QU2: each quota is a bucket that holds what one second may take. A request of more than that needs a full bucket and leaves
//      it in debt, so that the rate holds and no batch is refused for ever.
// Limits of single clients are in limits.ts; room in the log is --log-bytes.

import { Counter } from 'prom-client'
import { EVALUATION_READ_KEYS } from '../evaluation-reads.ts'
import type { EventIntake } from '../event-intake.ts'
import { ATTRIBUTION_READ_KEYS, type FeatureReads, keysIn, type ReadOutcome } from '../feature-reads.ts'
import { REPORT_READ_KEYS } from '../purchase-reads.ts'
import { HttpError } from './errors.ts'
import type { HttpMetrics } from './metrics.ts'

/** Not given: not limited. */
export interface QuotaSettings {
  readonly eventsPerS?: number
  readonly readKeysPerS?: number
}

class Bucket {
  #held: number | null = null
  #atMs = 0

  /** 0: taken. Else how many seconds to wait, and nothing is taken. `nowMs` never goes back. */
  take(count: number, perS: number, nowMs: number): number {
    const refilled = this.#held === null ? perS : this.#held + ((nowMs - this.#atMs) / 1_000) * perS
    const held = Math.min(perS, refilled)
    this.#held = held
    this.#atMs = nowMs
    const needed = Math.min(count, perS)
    if (held < needed) return (needed - held) / perS
    this.#held = held - count
    return 0
  }
}

export interface QuotaOptions {
  /** Those of the moment. */
  settings(): QuotaSettings
  readonly metrics: Pick<HttpMetrics, 'registry'>
  /** Milliseconds of a clock that is never set back. */
  now(): number
}

export class Quotas {
  readonly #o: QuotaOptions
  readonly #events = new Bucket()
  readonly #readKeys = new Bucket()
  readonly #refused: Counter<'quota'>

  constructor(options: QuotaOptions) {
    this.#o = options
    this.#refused = new Counter({
      name: 'holdfast_quota_refused_total',
      help: 'Requests that a quota of the namespace refused.',
      labelNames: ['quota'],
      registers: [options.metrics.registry],
    })
    for (const quota of ['events', 'read_keys']) this.#refused.inc({ quota }, 0)
  }

  /** Throws 429 where the events of a call are more than the namespace may send now; then none of them is taken. */
  intake(intake: EventIntake): EventIntake {
    return {
      take: async (events) => {
        const { eventsPerS } = this.#o.settings()
        const waitS = eventsPerS === undefined ? 0 : this.#events.take(events.length, eventsPerS, this.#o.now())
        if (waitS === 0) return intake.take(events)
        this.#refused.inc({ quota: 'events' })
        const message = `the namespace may send ${eventsPerS} events a second: nothing was taken`
        throw new HttpError({ status: 429, code: 'OVER_QUOTA', message, retryAfterS: Math.ceil(waitS) })
      },
    }
  }

  /** Reads that answer `over_quota` where their keys are more than the namespace may ask for now. */
  reads(reads: FeatureReads): FeatureReads {
    return {
      get features() {
        return reads.features
      },
      pin: () => reads.pin(),
      unpin: (snapshot) => reads.unpin(snapshot),
      read: async (ask) => this.#overQuota(ask.keys.length) ?? reads.read(ask),
      vectors: async (ask) => this.#overQuota(keysIn(ask.touches)) ?? reads.vectors(ask),
      explain: async (ask) => this.#overQuota(ask.keys.length) ?? reads.explain(ask),
      // As many keys as it is asked to name.
      attribution: async (ask) => this.#overQuota(ATTRIBUTION_READ_KEYS) ?? reads.attribution(ask),
      purchases: async (ask) => this.#overQuota(REPORT_READ_KEYS) ?? reads.purchases(ask),
      evaluation: async (ask) => this.#overQuota(EVALUATION_READ_KEYS) ?? reads.evaluation(ask),
      top: async (feature, entity, k) => this.#overQuota(k) ?? reads.top(feature, entity, k),
    }
  }

  /** null: the keys may be read. */
  #overQuota(keys: number): Extract<ReadOutcome, { kind: 'over_quota' }> | null {
    const { readKeysPerS } = this.#o.settings()
    if (readKeysPerS === undefined) return null
    const waitS = this.#readKeys.take(keys, readKeysPerS, this.#o.now())
    if (waitS === 0) return null
    this.#refused.inc({ quota: 'read_keys' })
    return { kind: 'over_quota', keysPerS: readKeysPerS, retryAfterS: Math.ceil(waitS) }
  }
}
