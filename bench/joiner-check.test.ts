// The joiner's bench ends where its input is not accounted for: each count that may be wrong, one by one. A run that is right: bench.test.ts.

import { expect, it } from 'vitest'
import { attributionSettings, DECLARATION_DEFAULT } from '../operators/attribution-declaration.ts'
import { checkJoined, factsOf, type JoinerCounted } from './joiner-check.ts'
import { joinerLines } from './joiner-input.ts'

const SETTINGS = attributionSettings(DECLARATION_DEFAULT)
const DAY_MS = 86_400_000
const facts = factsOf(joinerLines(2_000))
const LAST_MS = Math.max(...facts.touchTimes.click, ...facts.touchTimes.impression)
const WATERMARK = LAST_MS - DAY_MS

/** What a run of the input counts, with a conversion credited after the short wait in each window. */
function right(): { counts: Record<string, number>; watermarks: number[] } {
  const { click: clicks, impression: impressions } = facts.touchTimes
  const counts: Record<string, number> = {
    accepted: facts.events,
    touches: clicks.length + impressions.length,
    conversions: facts.conversions,
  }
  const { graceMs, shortWaitMs } = SETTINGS
  for (const { name, click, impression } of SETTINGS.windows) {
    const older = (times: readonly number[], lengthMs: number | undefined, afterMs: number) =>
      lengthMs === undefined ? 0 : times.filter((timeMs) => timeMs + afterMs + graceMs <= WATERMARK).length
    Object.assign(counts, {
      [`attributed.${name}`]: 1,
      [`unattributed.${name}`]: facts.conversions - 1,
      [`labels.O.${name}`]: older(clicks, click, shortWaitMs) + older(impressions, impression, shortWaitMs),
      [`labels.M.${name}`]: older(clicks, click, click ?? 0) + older(impressions, impression, impression ?? 0),
      ...{ [`labels.D.${name}`]: 1, [`labels.credited.${name}`]: 1, [`labels.positives.${name}`]: 1 },
    })
  }
  return { counts, watermarks: [WATERMARK] }
}

const check = (counted: JoinerCounted) => () => checkJoined(facts, counted, SETTINGS)

it('a run that has accounted for all passes', () => {
  expect(facts.conversions).toBeGreaterThan(20)
  check(right())()
  // Another task of attribution is ahead: rows of both may be there.
  check({ ...right(), watermarks: [WATERMARK, LAST_MS] })()
})

it.each([
  ['accepted', -1, /1999 of 2000 events were accepted/],
  ['touches', -1, /touches that came to be held: \d+, and \d+ are in the input/],
  ['touches', 1, /touches that came to be held/],
  ['conversions', -1, /conversions that came to be attributed/],
  ['unattributed.1d_view', -1, /conversions attributed or nobody's in 1d_view/],
  ['attributed.7d_click', 1, /conversions attributed or nobody's in 7d_click/],
  ['labels.O.1d_click', -1, /O rows of 1d_click/],
  ['labels.O.7d_click_1d_view', 1, /O rows of 7d_click_1d_view/],
  ['labels.M.28d_click', -1, /M rows of 28d_click/],
  ['labels.M.1d_view', 1, /M rows of 1d_view/],
  ['labels.D.7d_click', -1, /7d_click: touches credited and rows do not agree/],
  ['labels.positives.1d_view', -1, /1d_view: touches credited and rows do not agree/],
] as const)('one that has another %s does not: %d', (name, by, message) => {
  const { counts, watermarks } = right()
  counts[name]! += by
  expect(check({ counts, watermarks })).toThrow(message)
})

it('conversions that all windows have lost alike do not pass, nor an input without late positives', () => {
  const { counts, watermarks } = right()
  for (const { name } of SETTINGS.windows) counts[`unattributed.${name}`]! -= 1
  expect(check({ counts, watermarks })).toThrow(/nobody's in 1d_click/)
  const none = right()
  for (const name of ['labels.D.1d_view', 'labels.credited.1d_view', 'labels.positives.1d_view']) none.counts[name] = 0
  expect(check(none)).toThrow(/1d_view has no D row/)
})
