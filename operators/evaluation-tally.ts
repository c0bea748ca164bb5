// What is kept of how good scores were, and its bytes: of the touches of one day, one window and one slice, counts and sums that do not
// grow with them.
// ET1: sums of p and of losses are whole numbers of billionths, so neither their order nor how batches fall changes a bit; each row
//      is off by half of one at most.
// ET2: what is mature (M rows) and what is open (O and D rows) stand beside each other: a touch is in both once its window is over.
// ET3: a key begins with the window and the kind of slice: what a report lists is a range of keys of each day.
// Who writes it: operators/evaluation.ts. What is made of it: sinks/evaluation-report.ts.

import { DELAY_BINS } from '../ml/delay-shares.ts'
import { logLoss } from '../ml/logistic.ts'
import { SCORE_BINS, scoreBin } from '../ml/score-histogram.ts'
import type { Codec } from '../state/store.ts'
import { addExact, ByteReader, ByteWriter, corrupt, type Exact } from './bytes.ts'
import { keyOf, partsOf } from './touch.ts'

/** Buckets: UTC days by the time of the touch. */
export const EVALUATION_DAY_MS = 86_400_000
export const HOURS_PER_DAY = 24
const HOUR_MS = EVALUATION_DAY_MS / HOURS_PER_DAY

export const EVALUATION_STORE = 'evaluation'
export const EVALUATION_NAMED_STORE = 'evaluation named'

/** Of which touches: all but those that the fallback scored; of one advertiser, one version (0: the fallback), clicks or impressions. */
export const SLICE_KINDS = ['all', 'advertiser', 'version', 'type'] as const
export type SliceKind = (typeof SLICE_KINDS)[number]
/** The id of the one slice of `all`. */
export const ALL_TOUCHES = ''
/** The id of what has no slice of its own: no advertiser has it, and no version. */
export const REST = ''

/** Before every key of a kind. */
export const slicePrefix = (window: string, kind: SliceKind): string => keyOf(window, kind, '')
export const sliceKey = (window: string, kind: SliceKind, id: string): string => keyOf(window, kind, id)
/** The id of a key. */
export function idOfSliceKey(key: string): string {
  const id = partsOf(key)[2]
  if (id === undefined) throw corrupt('a key of evaluation has three parts')
  return id
}

/** Billionths: a sum of a million of them is a safe integer still. */
const NANO = 1e9
/** Losses of what is promised with certainty are finite: p is taken to be within these. */
const P_MIN = 1 / NANO

/** Touches whose p lies in one bin (ml/score-histogram.ts). */
export interface MatureBin {
  readonly place: number
  touches: number
  positives: number
  pNano: Exact
}

/** Touches of one hour of the day whose O row has come. */
export interface OpenHour {
  readonly place: number
  touches: number
  pNano: Exact
}

/** Touches that are known to have converted, by O or D, in one bin of when that became known (ml/delay-shares.ts). */
export interface KnownBin {
  readonly place: number
  count: number
}

/** Mutable. Lists are sparse, in ascending order. */
export interface EvaluationTally {
  readonly bins: MatureBin[]
  lossNano: Exact
  readonly hours: OpenHour[]
  readonly delays: KnownBin[]
}

export const emptyTally = (): EvaluationTally => ({ bins: [], lossNano: 0, hours: [], delays: [] })

/** What a touch adds to each of its slices, computed once. */
export interface JudgedTouch {
  readonly bin: number
  readonly y: 0 | 1
  readonly pNano: number
  readonly lossNano: number
}

export function judgedTouch(p: number, y: 0 | 1): JudgedTouch {
  const safe = Math.min(Math.max(p, P_MIN), 1 - P_MIN)
  return { bin: scoreBin(safe), y, pNano: nanoOf(p), lossNano: nanoOf(logLoss(safe, y)) }
}

/** In billionths. */
export const nanoOf = (x: number): number => Math.round(x * NANO)

/** A touch whose window is over. */
export function addMature(tally: EvaluationTally, { bin, y, pNano, lossNano }: JudgedTouch): void {
  const own = placed(tally.bins, bin, newBin)
  own.touches++
  own.positives += y
  own.pNano = addExact(own.pNano, pNano)
  tally.lossNano = addExact(tally.lossNano, lossNano)
}

/** A touch whose O row has come. */
export function addOpen(tally: EvaluationTally, timeMs: number, pNano: number): void {
  const own = placed(tally.hours, Math.floor((timeMs % EVALUATION_DAY_MS) / HOUR_MS), newHour)
  own.touches++
  own.pNano = addExact(own.pNano, pNano)
}

/** One of those is known to have converted. */
export function addKnown(tally: EvaluationTally, bin: number): void {
  placed(tally.delays, bin, newKnown).count++
}

/** Adds the second to the first. */
export function addTally(sum: EvaluationTally, more: EvaluationTally): void {
  sum.lossNano = addExact(sum.lossNano, more.lossNano)
  for (const { place, touches, positives, pNano } of more.bins) {
    const own = placed(sum.bins, place, newBin)
    own.touches += touches
    own.positives += positives
    own.pNano = addExact(own.pNano, pNano)
  }
  for (const { place, touches, pNano } of more.hours) {
    const own = placed(sum.hours, place, newHour)
    own.touches += touches
    own.pNano = addExact(own.pNano, pNano)
  }
  for (const { place, count } of more.delays) placed(sum.delays, place, newKnown).count += count
}

/** What sums of billionths are. */
export const fromNano = (sum: Exact): number => Number(sum) / NANO

const newBin = (place: number): MatureBin => ({ place, touches: 0, positives: 0, pNano: 0 })
const newHour = (place: number): OpenHour => ({ place, touches: 0, pNano: 0 })
const newKnown = (place: number): KnownBin => ({ place, count: 0 })

/** The element at a place; a new one where there is none. */
function placed<T extends { readonly place: number }>(list: T[], place: number, fresh: (place: number) => T): T {
  let at = list.length
  while (at > 0 && list[at - 1]!.place > place) at--
  if (at > 0 && list[at - 1]!.place === place) return list[at - 1]!
  const own = fresh(place)
  list.splice(at, 0, own)
  return own
}

/** Each list: how far after the one before, and what is in it. */
export const evaluationCodec: Codec<EvaluationTally> = {
  encode({ bins, lossNano, hours, delays }) {
    const out = new ByteWriter()
    const list = <T extends { readonly place: number }>(all: readonly T[], write: (one: T) => void): void => {
      out.varint(all.length)
      let before = -1
      for (const one of all) {
        out.varint(one.place - before - 1)
        before = one.place
        write(one)
      }
    }
    out.exact(lossNano)
    list(bins, ({ touches, positives, pNano }) => {
      out.varint(touches)
      out.varint(positives)
      out.exact(pNano)
    })
    list(hours, ({ touches, pNano }) => {
      out.varint(touches)
      out.exact(pNano)
    })
    list(delays, ({ count }) => out.varint(count))
    return out.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    const list = <T>(places: number, read: (place: number) => T): T[] => {
      let before = -1
      return reader.list(() => {
        before += 1 + reader.varint()
        if (before >= places) throw corrupt('an entry of evaluation has a place that there is not')
        return read(before)
      })
    }
    const lossNano = reader.exact()
    const bins = list(SCORE_BINS, (place): MatureBin => {
      const [touches, positives] = [reader.varint(), reader.varint()]
      if (positives > touches) throw corrupt('an entry of evaluation has more positives than touches')
      return { place, touches, positives, pNano: reader.exact() }
    })
    const hours = list(HOURS_PER_DAY, (place): OpenHour => ({ place, touches: reader.varint(), pNano: reader.exact() }))
    const delays = list(DELAY_BINS, (place): KnownBin => ({ place, count: reader.varint() }))
    if (!reader.atEnd) throw corrupt('an entry of evaluation is longer than what is in it')
    return { bins, lossNano, hours, delays }
  },
}

/** A whole number. */
export const countCodec: Codec<number> = {
  encode(value) {
    const out = new ByteWriter()
    out.varint(value)
    return out.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    const value = reader.varint()
    if (!reader.atEnd) throw corrupt('a count is longer than what is in it')
    return value
  },
}
