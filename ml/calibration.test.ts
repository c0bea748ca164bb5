// The layer on touches whose truth is known: what it undoes, what it waits for, and that its check needs no window to end.

import { describe, expect, it } from 'vitest'
import { Calibration, FIT_DAYS, HORIZON_MS_MAX } from './calibration.ts'
import { EXPECTED_COUNT, ExpectedCount } from './expected-count.ts'
import { hashNumber } from './hash.ts'
import { logitOf, sigmoid } from './logistic.ts'
import { createModel, loadParts, saveParts } from './models.ts'
import { Rows } from './rows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const HORIZON_MS = 20 * DAY_MS
const START_MS = Date.UTC(2025, 0, 1)
const DAYS = 40

const u = (i: number, of: number): number => ((hashNumber(i, of) >>> 0) + 0.5) / 2 ** 32

interface Happening {
  readonly timeMs: number
  readonly tell: (layer: Calibration) => void
}

/** Touches of 40 days, told as they come and as they convert; the model says sigmoid(distorted(true logit)). Delays: even in the logarithm. */
function happenings(
  perDay: number,
  distorted: (logit: number) => number,
): { list: Happening[]; truth: { timeMs: number; p: number; y: 0 | 1; said: number }[] } {
  const list: Happening[] = []
  const truth = []
  for (let i = 0; i < perDay * DAYS; i++) {
    const timeMs = START_MS + Math.floor((i / perDay) * DAY_MS)
    const logit = -3 + 2.5 * (u(i, 1) - 0.5)
    const [p, said] = [sigmoid(logit), sigmoid(distorted(logit))]
    const y = u(i, 2) < p ? 1 : 0
    truth.push({ timeMs, p, y: y as 0 | 1, said })
    list.push({ timeMs, tell: (layer) => layer.scored(timeMs, said) })
    if (y === 0) continue
    const delayMs = HOUR_MS * (HORIZON_MS / HOUR_MS) ** u(i, 3)
    list.push({ timeMs: timeMs + delayMs, tell: (layer) => layer.converted(timeMs, said, delayMs) })
  }
  list.sort((a, b) => a.timeMs - b.timeMs)
  return { list, truth }
}

const END_MS = START_MS + DAYS * DAY_MS
function toldUpTo(
  endMs: number,
  list: readonly Happening[],
  layer = new Calibration({ layer: 'platt', horizonMs: HORIZON_MS }),
): Calibration {
  for (const { timeMs, tell } of list) {
    if (timeMs > endMs) break
    layer.advance(timeMs)
    tell(layer)
  }
  layer.advance(endMs)
  return layer
}

describe('of a model that is wrong by a slope and an offset', () => {
  const { list, truth } = happenings(6_000, (logit) => 0.7 * logit - 0.2)
  const layer = toldUpTo(END_MS, list)

  it('it gives the truth back, though most windows of its touches are open', () => {
    expect(FIT_DAYS * DAY_MS).toBeLessThan(HORIZON_MS)
    const last = truth.filter(({ timeMs }) => timeMs >= END_MS - FIT_DAYS * DAY_MS)
    const sums = { true: 0, said: 0, served: 0 }
    for (const { p, said } of last) {
      sums.true += p
      sums.said += said
      sums.served += layer.apply(said)
    }
    expect(sums.said / sums.true).toBeGreaterThan(1.5)
    expect(sums.served / sums.true).toBeGreaterThan(0.95)
    expect(sums.served / sums.true).toBeLessThan(1.05)
    expect(layer.slope).toBeGreaterThan(1.2)
  })

  it('the check says 1 of what is served, where counting what is known so far would not', () => {
    expect(layer.check(END_MS)).toBeGreaterThan(0.97)
    expect(layer.check(END_MS)).toBeLessThan(1.03)
    const open = truth.filter(({ timeMs }) => timeMs >= END_MS - FIT_DAYS * DAY_MS)
    const expected = open.reduce((sum, { said }) => sum + layer.apply(said), 0)
    const known = list.filter(({ timeMs }) => timeMs < END_MS).length - truth.length
    expect(known).toBeGreaterThan(0)
    // What has become known of just these touches: delays are even in the logarithm, so the share of an age is known.
    const share = (ageMs: number) => Math.log(Math.max(ageMs, HOUR_MS) / HOUR_MS) / Math.log(HORIZON_MS / HOUR_MS)
    const knownOfOpen = open.reduce((sum, { timeMs, p }) => sum + p * share(END_MS - timeMs), 0)
    expect(expected / knownOfOpen).toBeGreaterThan(1.15)
  })

  it('F is the share of conversions that is known at an age', () => {
    const shares = layer.delays(END_MS)
    shares.forEach((share, i) => {
      const edgeMs = HORIZON_MS * (HORIZON_MS / (HOUR_MS / 2)) ** ((i + 1) / shares.length - 1)
      const due = Math.max(Math.log(edgeMs / HOUR_MS) / Math.log(HORIZON_MS / HOUR_MS), 0)
      expect(Math.abs(share - due)).toBeLessThan(0.03)
    })
  })

  it('saved and loaded in the middle it is the layer that never was', () => {
    const settings = { layer: 'platt', horizonMs: HORIZON_MS } as const
    const middleMs = START_MS + 17.3 * DAY_MS
    const bytes = saveParts({}, { calibration: toldUpTo(middleMs, list) })
    const next = new Calibration(settings)
    loadParts(bytes, {}, { calibration: next })
    const resumed = toldUpTo(
      END_MS,
      list.filter(({ timeMs }) => timeMs > middleMs),
      next,
    )
    expect(saveParts({}, { calibration: resumed })).toEqual(saveParts({}, { calibration: layer }))
  })
})

it('CA3: with few conversions a model that is right stays nearly as it is', () => {
  const layer = toldUpTo(END_MS, happenings(10, (logit) => logit).list)
  for (const p of [0.01, 0.05, 0.2]) expect(Math.abs(logitOf(layer.apply(p)) - logitOf(p))).toBeLessThan(0.25)
})

it('says what the model says before the first day is over; forgets days; refuses horizons beyond its limit', () => {
  const layer = new Calibration({ layer: 'platt', horizonMs: DAY_MS })
  layer.advance(START_MS)
  layer.scored(START_MS, 0.3)
  expect([layer.apply(0.3), layer.slope, layer.offset]).toEqual([0.3, 1, 0])
  expect(layer.check(START_MS)).toBeNaN()
  layer.advance(START_MS + 400 * DAY_MS)
  const before = saveParts({}, { layer })
  // Of a day that is forgotten: nothing.
  layer.converted(START_MS, 0.3, HOUR_MS)
  expect(saveParts({}, { layer })).toEqual(before)
  expect(() => new Calibration({ layer: 'platt', horizonMs: HORIZON_MS_MAX + 1 })).toThrow(/horizon/)
})

describe('expected counts', () => {
  const rows = new Rows()
  rows.push([1])
  rows.push([2])
  rows.push([])

  it('are the probability times a mean that is drawn to that of all', () => {
    const counts = new ExpectedCount(EXPECTED_COUNT)
    expect(counts.expect(rows, 0, 0.5)).toBe(0.5)
    for (let i = 0; i < 30; i++) counts.learn(rows, 0, 3)
    for (let i = 0; i < 10; i++) counts.learn(rows, 1, 1)
    const all = 101 / 41
    expect(counts.expect(rows, 0, 0.5)).toBeCloseTo((0.5 * (90 + 20 * all)) / 50, 12)
    expect(counts.expect(rows, 1, 1)).toBeCloseTo((10 + 20 * all) / 30, 12)
    expect(counts.expect(rows, 2, 1)).toBeCloseTo(all, 12)
    expect(() => counts.learn(rows, 0, 0)).toThrow(/has a conversion/)
  })
})

it('a calibration and a model are not taken for each other', () => {
  const calibration = new Calibration({ layer: 'platt', horizonMs: DAY_MS })
  const bytes = saveParts({}, { part: createModel({ model: 'base-rate' }) })
  expect(() => loadParts(bytes, {}, { part: calibration })).toThrow(/asked for/)
})
