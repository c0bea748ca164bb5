// The oracle of the joiner against a second, different computation, on random files: each conversion by a scan of all clicks and touches, each
// row by going through what happened to its touch in time. And the laws that hold whatever the file says.

import { describe, expect, test } from 'vitest'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { latePixels } from '../generate/late-pixels.ts'
import { lanesOf } from './goals.ts'
import type { AttributionRow, Touch } from './join.ts'
import { type LabelRow, labelRows, rowId } from './label-rows.ts'
import { ATTRIBUTION, DEFAULTS, type Expected, recompute, type Settings } from './oracle.ts'
import { byOrderKey, type Record, readRecords, withoutDuplicates } from './records.ts'

const DAY_MS = 86_400_000
const EVENTS = 6_000
const SETTINGS: Settings = { ...DEFAULTS, bots: 'mark', attribution: ATTRIBUTION }

const joinerFile = (seed: number): Buffer =>
  Buffer.concat([...joinerStress({ ...JOINER_STRESS_DEFAULTS, events: EVENTS, seed }).lines])
const ofSeed = (seed: number) => {
  const file = joinerFile(seed)
  return { file, expected: recompute(file, SETTINGS) }
}
const rowsOf = ({ attributed, summary }: Expected): LabelRow[] => [
  ...labelRows(attributed!.touches, attributed!.settings, summary.as_of),
]

describe.each([1, 2])('seed %d', (seed) => {
  const { file, expected } = ofSeed(seed)
  const { summary, attributed } = expected
  const rows = rowsOf(expected)
  const { records } = readRecords(file, SETTINGS)
  const touches = withoutDuplicates(records.toSorted(byOrderKey), SETTINGS).filter(
    ({ event }) => (event.type === 'click' || event.type === 'impression') && event.userId !== null && !event.isBot,
  )
  const dueMs = ({ event }: Record) => event.eventTimeMs + ATTRIBUTION.graceMs

  test('the user of each conversion, by a scan of all clicks', () => {
    const resolutions = attributed!.accepted.map((record) => {
      const { event, isLate, atMs } = record
      const own = { user: record.user, expected: event.userId ?? `click:${event.clickId}` }
      if (event.clickId === null) return own
      const isBefore = (click: Record) =>
        isLate ? byOrderKey(click, { ...record, atMs }) < 0 : click.atMs <= dueMs(record)
      const known = touches
        .filter(({ event: click }) => click.type === 'click' && click.clickId === event.clickId)
        .filter((click) => isBefore(click) && click.event.eventTimeMs <= dueMs(record))
        .map(({ event }) => event.userId!)
      if (known.includes(event.userId!) || known.length === 0) return own
      return { user: record.user, expected: known[0] }
    })
    expect(resolutions.filter(({ user, expected }) => user !== expected)).toEqual([])
    expect(resolutions.length).toBeGreaterThan(500)
  })

  test('the touch of each conversion, by a scan of all touches', () => {
    const wrong: string[] = []
    const accepted = new Map(attributed!.accepted.map((record) => [record.event, record]))
    const windows = lanesOf(ATTRIBUTION).map(({ window }) => ATTRIBUTION.windows[window]!)
    const byPerson = Map.groupBy(touches, ({ event }) => JSON.stringify([event.userId, event.advertiserId]))
    for (const { event, user, lane, touch } of attributed!.attributions) {
      const record = accepted.get(event)!
      const placeMs = record.isLate ? record.atMs : dueMs(record)
      const { name, precedence } = windows[lane]!
      const lengthOf = (type: string) => windows[lane]![type as 'click' | 'impression'] ?? -1
      const candidates = (byPerson.get(JSON.stringify([user, event.advertiserId])) ?? []).filter((held) => {
        const ageMs = event.eventTimeMs - held.event.eventTimeMs
        const isThere = record.isLate ? byOrderKey(held, record) < 0 : held.atMs <= placeMs
        const goneMs = Math.max(held.event.eventTimeMs, held.watermarkMs) + 35 * DAY_MS
        return isThere && 0 <= ageMs && ageMs <= lengthOf(held.event.type) && placeMs <= goneMs
      })
      const hasClick = candidates.some(({ event }) => event.type === 'click')
      const allowed = candidates.filter((held) => !precedence || !hasClick || held.event.type === 'click')
      const ranked = allowed.toSorted(
        (a, b) =>
          Number(a.event.clickId === event.clickId && event.clickId !== null) -
            Number(b.event.clickId === event.clickId && event.clickId !== null) ||
          a.event.eventTimeMs - b.event.eventTimeMs ||
          Buffer.compare(Buffer.from(a.event.type), Buffer.from(b.event.type)) ||
          Buffer.compare(Buffer.from(a.event.eventId), Buffer.from(b.event.eventId)),
      )
      if (touch?.event.line !== ranked.at(-1)?.event.line) wrong.push(`${event.eventId} in ${name}`)
    }
    expect(wrong).toEqual([])
  })

  test('each row, by what happened to its touch in time', () => {
    const both: string[] = []
    const arrivals = new Map(touches.map(({ event, atMs }) => [event.line, atMs]))
    const byTouch = Map.groupBy(rows, ({ touch, lane }) => `${touch.event.line} ${lane}`)
    for (const touch of attributed!.touches) {
      for (const [lane, window] of ATTRIBUTION.windows.entries()) {
        const lengthMs = window[touch.kind]
        const found = (byTouch.get(`${touch.event.line} ${lane}`) ?? []).filter(({ kind }) => kind !== 'R')
        const said = found.map(({ kind, count, valueMicro }) => `${kind} ${count} ${valueMicro}`)
        const lived = lengthMs === undefined ? [] : live(touch, lane, lengthMs, arrivals.get(touch.event.line)!)
        both.push([touch.event.eventId, ...said.toSorted()].join(), [touch.event.eventId, ...lived.toSorted()].join())
      }
    }
    expect(both.filter((text, index) => index % 2 === 0 && text !== both[index + 1])).toEqual([])
  })

  test('the law of conservation', () => {
    for (const [lane, { name }] of ATTRIBUTION.windows.entries()) {
      const own = rows.filter((row) => row.lane === lane)
      const last = new Map<Touch, LabelRow>()
      for (const row of own) if (row.kind === 'M' || row.kind === 'C') last.set(row.touch, row)
      const positives = [...last.values()].filter(({ y }) => y === 1).length
      const isCredited = ({ credits }: Touch) => credits.some((credit) => credit.lane === lane)
      expect(attributed!.touches.filter(isCredited).length).toBe(positives)
      const said = own.filter(({ kind, y }) => kind === 'D' || (kind === 'O' && y === 1)).length
      expect(said).toBe(positives)
      const counted = [...last.values()].reduce((sum, { count }) => sum + count, 0)
      expect(counted).toBe(summary.attributions![name])
      expect(positives).toBeGreaterThan(10)
    }
  })

  test('no two rows have one name, and every conversion says one thing in each window', () => {
    expect(new Set(rows.map((row) => rowId(row, ATTRIBUTION))).size).toBe(rows.length)
    const { refund_unmatched, attributions, unattributed, labels } = summary
    const sums = ATTRIBUTION.windows.map(({ name }) => attributions![name]! + unattributed![name]!)
    expect(new Set(sums).size).toBe(1)
    expect(refund_unmatched).toBeGreaterThan(2)
    for (const [kind, least] of Object.entries({ O: 1_000, M: 1_000, D: 10, C: 10, R: 2, complete: 1_000 }))
      expect(labels!['7d_click']![kind as 'O']).toBeGreaterThan(least)
  })

  test('the late touches, by a scan of all that came late for each conversion', () => {
    const keptMs = 35 * DAY_MS
    const late = touches.filter(({ isLate }) => isLate)
    const conversions = attributed!.accepted.filter(({ event }) => !event.isRefund && !event.isBot)
    let missed = 0
    for (const conversion of conversions) {
      const placeMs = conversion.isLate ? conversion.atMs : dueMs(conversion)
      for (const touch of late) {
        if (touch.event.userId !== conversion.user || touch.event.advertiserId !== conversion.event.advertiserId)
          continue
        const isAfter = conversion.isLate ? byOrderKey(touch, conversion) > 0 : touch.atMs > placeMs
        const ageMs = conversion.event.eventTimeMs - touch.event.eventTimeMs
        const lengthMs = touch.event.type === 'click' ? 28 * DAY_MS : DAY_MS
        if (isAfter && 0 <= ageMs && ageMs <= lengthMs && touch.atMs <= placeMs + keptMs) missed++
      }
    }
    expect(summary.late_touch).toBe(missed)
    expect(missed).toBeGreaterThan(100)
  })

  test('where late touches make attributions be said anew, there is a revision for each, and nothing else is another', () => {
    const anew = recompute(file, { ...SETTINGS, attribution: { ...ATTRIBUTION, lateTouches: 'revise' } })
    const ofLine = ({ event, lane, touch, revision }: AttributionRow) =>
      [event.line, lane, touch?.event.line, revision].join()
    const said = Map.groupBy(anew.attributed!.attributions, ({ revision }) => revision > 0)
    expect(said.get(false)!.map(ofLine)).toEqual(attributed!.attributions.map(ofLine))
    const revisions = new Set(said.get(true)!.map(({ event, revision }) => `${event.line} ${revision}`))
    expect(revisions.size).toBe(attributed!.lateTouches)
    expect(anew.summary).toEqual(summary)
    const texts = (expected: Expected) => rowsOf(expected).map((row) => `${rowId(row, ATTRIBUTION)} ${row.valueMicro}`)
    expect(texts(anew)).toEqual(texts(expected))
    // Some of them name another touch, which the first line did not know.
    const changed = said.get(true)!.filter(({ touch }) => touch !== null && touch.credits.length === 0)
    expect(changed.length).toBeGreaterThan(20)
  })
})

/** The rows of a touch but for refunds, written while its credits and its times come by. */
function live(touch: Touch, lane: number, lengthMs: number, arrivedMs: number): string[] {
  const { graceMs, shortWaitMs } = ATTRIBUTION
  const rows: string[] = []
  const say = (kind: string, of: readonly { valueMicro: bigint }[]) =>
    rows.push(`${kind} ${of.length} ${of.reduce((sum, { valueMicro }) => sum + valueMicro, 0n)}`)
  const steps = [
    ...touch.credits.filter((credit) => credit.lane === lane).map((credit) => ({ atMs: credit.atMs, rank: 1, credit })),
    ...(lengthMs > shortWaitMs
      ? [{ atMs: Math.max(touch.timeMs + shortWaitMs + graceMs, arrivedMs - 1), rank: 2 }]
      : []),
    { atMs: Math.max(touch.timeMs + lengthMs + graceMs, arrivedMs - 1), rank: 3 },
  ].sort((a, b) => a.atMs - b.atMs || a.rank - b.rank)
  const all: { timeMs: number; valueMicro: bigint }[] = []
  let observation: 'waits' | 'none' | 'positive' | 'delayed' = 'waits'
  let isMature = false
  for (const step of steps) {
    if ('credit' in step) {
      all.push(step.credit)
      if (observation === 'none') {
        say('D', [step.credit])
        observation = 'delayed'
      }
      if (isMature) say('C', all)
    } else if (step.rank === 2) {
      const soon = all.filter(({ timeMs }) => timeMs <= touch.timeMs + shortWaitMs)
      say('O', soon)
      observation = soon.length > 0 ? 'positive' : 'none'
      if (observation === 'none' && all.length > 0) {
        say('D', all.slice(0, 1))
        observation = 'delayed'
      }
    } else {
      say('M', all)
      isMature = true
    }
  }
  return rows
}

describe('late pixels', () => {
  const expected = recompute(Buffer.concat([...latePixels({ events: 6_000, bulk: 300, seed: 1 })]), SETTINGS)
  const { summary, attributed } = expected
  const rows = rowsOf(expected).filter(({ lane }) => ATTRIBUTION.windows[lane]!.name === '28d_click')

  test('one in twenty comes late, a bulk beside them, and each is attributed', () => {
    const late = attributed!.accepted.filter(({ isLate }) => isLate).length
    const others = attributed!.accepted.length - 300
    expect((late - 300) / others).toBeGreaterThan(0.03)
    expect((late - 300) / others).toBeLessThan(0.07)
    expect(summary.unattributed!['28d_click']).toBe(0)
    expect(summary.attributions!['28d_click']).toBe(attributed!.accepted.length)
    expect(summary).toMatchObject({ duplicates: 0, dead_letters: 0, late })
  })

  test('the bulk stands at one place, and there are corrections where M was wrong', () => {
    expect(longestRun(attributed!.accepted.filter(({ isLate }) => isLate).map(({ event }) => event.line))).toBe(300)
    expect(summary.labels!['1d_click']!.C).toBeGreaterThan(20)
    expect(rows.length).toBeGreaterThan(3_000)
  })
})

/** How many consecutive numbers there are at most. */
function longestRun(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  let [run, longest] = [0, 0]
  for (const [index, number] of sorted.entries()) {
    run = number === sorted[index - 1]! + 1 ? run + 1 : 1
    longest = Math.max(longest, run)
  }
  return longest
}
