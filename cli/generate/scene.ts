// What visits and purchases of the generated world share: its numbers, its clock, and what is still to arrive or to happen.
// SC1: every event that is sent goes through send(): one in ten arrives a second time, as clients repeat what they sent.
// SC2: an arrival is never before its event, and but for uploads at most four minutes after it, well within the lateness of ten.

import { Agenda } from './agenda.ts'
import type { Catalogue } from './catalogue.ts'
import type { Random } from './random.ts'
import type { LineFact, PlannedRow, Truth } from './world-truth.ts'

/** One line on its way: `atMs` is when it arrives, in the world's time. */
export interface Arrival {
  readonly atMs: number
  readonly text: string
  /** null: a new event. */
  readonly fact: LineFact | null
  readonly isUpload: boolean
}

/** A purchase that will happen. */
export interface Purchase {
  readonly atMs: number
  readonly number: number
  readonly user: string
  readonly advertiser: number
  readonly value: number
  /** The touch that leads to it. */
  readonly cause: { readonly eventId: string; readonly clickId: string | null; readonly atMs: number } | null
}

/** A refund that will be asked for. */
export interface Refund {
  readonly atMs: number
  readonly of: Purchase | null
}

/** One event in ten comes twice. */
export const REPEATED = 0.1
const REPEAT_WITHIN_MS = 60_000
/** An ordinary client's delay: none for most, up to this for the others. */
const JITTER_MAX_MS = 120_000
const PROMPT = 0.8

export interface SceneOptions {
  readonly random: Random
  readonly catalogue: Catalogue
  /** Of the world, milliseconds after its start. */
  readonly endMs: number
  readonly written: (atMs: number) => number
  readonly truth: Truth | null
}

export class Scene {
  readonly random: Random
  readonly catalogue: Catalogue
  readonly endMs: number
  readonly truth: Truth | null
  /** The event_time that is written for a time of the world. */
  readonly written: (atMs: number) => number
  readonly arrivals = new Agenda<Arrival>()
  readonly purchases = new Agenda<Purchase>()
  readonly refunds = new Agenda<Refund>()
  #events = 0
  #purchases = 0

  constructor(options: SceneOptions) {
    this.random = options.random
    this.catalogue = options.catalogue
    this.endMs = options.endMs
    this.truth = options.truth
    this.written = options.written
  }

  /** A number that no other event has. */
  nextEvent(): number {
    return this.#events++
  }

  /** An event that happened at `atMs` is sent: it arrives a little later, and perhaps again. */
  send(atMs: number, eventId: string, text: string): void {
    const arrivesMs = atMs + this.jitter()
    this.arrive(arrivesMs, text, null)
    if (!this.random.chance(REPEATED)) return
    const againMs = arrivesMs + 1 + this.random.below(REPEAT_WITHIN_MS)
    this.arrive(againMs, text, { is: 'duplicate', event_id: eventId, by: 'event_id' })
  }

  arrive(atMs: number, text: string, fact: LineFact | null, isUpload = false): void {
    this.arrivals.add({ atMs, text, fact, isUpload })
  }

  jitter(): number {
    return this.random.chance(PROMPT) ? this.random.below(2_000) : this.random.below(JITTER_MAX_MS)
  }

  /** Plans a purchase; after the world's end it stays a plan. The row is for the truth of its cause. */
  plan(purchase: Omit<Purchase, 'number'>): PlannedRow {
    const number = this.#purchases++
    if (purchase.atMs < this.endMs) this.purchases.add({ ...purchase, number })
    return {
      event_id: conversionId(number),
      order_id: orderId(number),
      time: this.written(purchase.atMs),
      value: purchase.value,
    }
  }
}

export const conversionId = (number: number): string => `v${number}`
export const orderId = (number: number): string => `order-${number}`

/** A price in whole cents. */
export function price(random: Random): number {
  return Math.round(500 + 100 * random.wait(60)) / 100
}
