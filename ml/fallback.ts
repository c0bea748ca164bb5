// A tiny model that answers where the main one cannot: rates by type, advertiser, campaign and ad, those of the most counted ones, each
// drawn to the one before it as ml/counter.ts draws:
//   p of a key = (positives + m p of the key before) / (touches + m),   m: pseudo-touches, before the first: the rate of the window
// FA1: it is a table of numbers in the model's file, at most FALLBACK_BYTES_MAX as JSON, and needs no runtime.
// FA2: of keys that meet in a slot the most frequent stays: one that comes again votes for itself, another against it, and whoever
//      comes to a slot without votes takes it (Boyer and Moore's majority vote, 1981). Equal rows make equal tables.
// FA3: what converts late is counted when it is known, so that its rates are those of what is known, not of the end.

import { assert } from '../log/errors.ts'
import { HALF_A_ROW } from './base-rate.ts'
import { LEAST_P } from './logistic.ts'
import { BLOCK_CELLS, Parameters } from './parameters.ts'
import type { Rows } from './rows.ts'
import { servedOf, type TouchKind, type Within } from './windows.ts'

export interface FallbackSettings {
  readonly fallback: 'rates'
  readonly windows: number
  /** Slots for keys: 2^bits. */
  readonly bits: number
  readonly pseudoTouches: number
}

/** 4,096 keys: a tenth of the bytes with five windows, and thousands of ads. 20: as for rates by advertiser. */
export const FALLBACK: Omit<FallbackSettings, 'windows'> = { fallback: 'rates', bits: 12, pseudoTouches: 20 }
/** What a scorer parses in a few milliseconds. */
export const FALLBACK_BYTES_MAX = 1_000_000
/** Of a row's features (ml/touch-features.ts), in the order of drawing: type, advertiser, campaign, ad. */
const PLACES = [3, 0, 1, 2] as const
/** Cells of a slot before its counts: its key, and the votes for it. */
const SLOT_HEAD = 2

/** As it is in a file. Counts: touches and positives by window, one behind the other. */
export interface FallbackTable {
  readonly pseudoTouches: number
  readonly base: readonly number[]
  /** The most counted key first. */
  readonly keys: readonly (readonly [key: number, ...counts: number[]])[]
}

export class FallbackCounts {
  readonly settings: FallbackSettings
  readonly parameters: Parameters
  readonly #mask: number
  readonly #stride: number

  constructor(settings: FallbackSettings) {
    const { windows, bits } = settings
    assert(2 * windows <= BLOCK_CELLS, 'the counts of all windows fit the head')
    this.settings = settings
    this.#mask = 2 ** bits - 1
    this.#stride = SLOT_HEAD + 2 * windows
    this.parameters = new Parameters(this.#stride * 2 ** bits)
  }

  /** A touch has come: it votes for its keys. */
  vote({ starts, keys }: Rows, row: number): void {
    const { cells } = this.parameters
    for (const place of PLACES) {
      const at = starts[row]! + place
      if (at >= starts[row + 1]!) continue
      const key = keys[at]!
      const slot = this.#slotOf(key)
      const votes = cells[slot + 1]!
      if (votes === 0) {
        for (let i = 0; i < this.#stride; i++) this.parameters.set(slot + i, 0)
        this.parameters.set(slot, key)
      }
      this.parameters.add(slot + 1, votes === 0 || cells[slot] === key ? 1 : -1)
    }
  }

  /** A label of a touch in a window: so many touches and positives more. */
  count(rows: Rows, row: number, window: number, { touches, positives }: { touches: 0 | 1; positives: 0 | 1 }): void {
    const { cells } = this.parameters
    this.#add(2 * window, touches, positives)
    for (const place of PLACES) {
      const at = rows.starts[row]! + place
      if (at >= rows.starts[row + 1]!) continue
      const slot = this.#slotOf(rows.keys[at]!)
      if (cells[slot] === rows.keys[at]! && cells[slot + 1]! > 0)
        this.#add(slot + SLOT_HEAD + 2 * window, touches, positives)
    }
  }

  /** FA1. */
  table(): FallbackTable {
    const { cells } = this.parameters
    const { windows, pseudoTouches } = this.settings
    const slots = Array.from({ length: this.#mask + 1 }, (_, i) => BLOCK_CELLS + i * this.#stride)
      .filter((slot) => cells[slot + 1]! > 0)
      .sort((a, b) => cells[b + 1]! - cells[a + 1]! || cells[a]! - cells[b]!)
    const base = [...cells.subarray(0, 2 * windows)]
    const keys: [number, ...number[]][] = []
    let bytes = JSON.stringify({ pseudoTouches, base, keys }).length
    for (const slot of slots) {
      const entry: [number, ...number[]] = [
        cells[slot]!,
        ...cells.subarray(slot + SLOT_HEAD, slot + SLOT_HEAD + 2 * windows),
      ]
      bytes += JSON.stringify(entry).length + 1
      if (bytes > FALLBACK_BYTES_MAX) break
      keys.push(entry)
    }
    return { pseudoTouches, base, keys }
  }

  #add(cell: number, touches: number, positives: number): void {
    if (touches > 0) this.parameters.add(cell, touches)
    if (positives > 0) this.parameters.add(cell + 1, positives)
  }

  #slotOf = (key: number): number => BLOCK_CELLS + (key & this.#mask) * this.#stride
}

/** A table that answers. */
export class Fallback {
  readonly #windows: readonly Within[]
  readonly #table: FallbackTable
  readonly #counts: ReadonlyMap<number, readonly number[]>

  constructor(windows: readonly Within[], table: FallbackTable) {
    this.#windows = windows
    this.#table = table
    this.#counts = new Map(table.keys.map(([key, ...counts]) => [key, counts]))
  }

  /** Probabilities of a row by window, never falling from a window to one that contains it. */
  answer(keys: ArrayLike<number>, kind: TouchKind): Float64Array {
    const { base, pseudoTouches } = this.#table
    const own = Float64Array.from(this.#windows, (_, window) => {
      let p = (base[2 * window + 1]! + HALF_A_ROW) / (base[2 * window]! + 2 * HALF_A_ROW)
      for (const place of PLACES) {
        const counts = place < keys.length ? this.#counts.get(keys[place]!) : undefined
        if (counts === undefined) continue
        const [touches, positives] = [counts[2 * window]!, counts[2 * window + 1]!]
        p = (positives + pseudoTouches * p) / (touches + pseudoTouches)
      }
      // A slot that was taken late has conversions of touches that it has not counted.
      return Math.min(Math.max(p, LEAST_P), 1 - LEAST_P)
    })
    const served = new Float64Array(own.length)
    servedOf(this.#windows, kind, own, served)
    return served
  }
}
