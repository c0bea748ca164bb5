// The deliberate bugs of protocol.md, section 12, and of reliability.md, O8: each patch applies to the files as they are, and
// the simulation (for O8 the readers of a real node) catches each within as many kills as reliability.md allows. Tests
// that miss one of them prove too little.

import { expect, it } from 'vitest'
import { bugs, judge, KILLS_TO_CATCH } from '../bugs/run.ts'

/** The list of protocol.md, section 12, and the swap of O8. */
const NAMES = [
  'chain-not-compared',
  'generation-ignored',
  'no-check-on-reconnect',
  'no-compare-and-set',
  'no-last-message-means-nothing-published',
  'numbers-not-skipped',
  'operator-reads-the-clock',
  'outputs-operator-by-operator',
  'position-outside-the-batch',
  'snapshot-swapped-before-write',
  'standby-ahead-of-its-owner',
  'timers-after-the-slice',
]
const RUN_MS_MAX = 240_000
const all = await bugs()

it('has a patch for each', () => expect(all.map(({ name }) => name)).toEqual(NAMES))

it.each(all)('catches $name', { timeout: RUN_MS_MAX }, async (bug) => {
  const { caughtBy, kills } = await judge(bug, KILLS_TO_CATCH)
  expect(caughtBy).not.toEqual([])
  expect(kills).toBeLessThanOrEqual(KILLS_TO_CATCH)
})
