// When the next frame may go, and how large it may be, on a clock that the test sets.

import { describe, expect, it } from 'vitest'
import { FRAME_RECORDS_MAX, FRAME_RECORDS_MIN, PATIENCE_MS, Pace, QUIET_MS } from './pace.ts'
import { DEFAULT_TUNING } from './task.ts'

/** A pace whose reader commits when the test says so. */
function paced(share = 0.5) {
  let nowMs = 5_000
  const pace = new Pace({ feeder: 'bulk-0', share, now: () => nowMs })
  let [live, fed] = [0, 0]
  /** The reader commits `more` live records and the feeder's up to `upTo`. */
  const commit = (more: number, upTo = fed) => {
    live += more
    fed = upTo
    pace.heard({ records: live + fed + 7, fed: { 'bulk-0': fed, 'bulk-1': 7 } })
  }
  return { pace, commit, pass: (ms: number) => (nowMs += ms) }
}

describe('the next frame goes', () => {
  it('at once at first, then when the reader has committed all of the last one', () => {
    const { pace, commit } = paced()
    expect(pace.isFree).toBe(true)
    pace.published(300)
    expect(pace.isFree).toBe(false)
    commit(10, 299)
    expect(pace.isFree).toBe(false)
    commit(0, 300)
    expect(pace.isFree).toBe(true)
  })

  it.each([
    [0.5, 40],
    [0.25, 120],
    [0.8, 10],
  ])('while others are live, after a rest in proportion to how long the last one took: %d', (share, restMs) => {
    const { pace, commit, pass } = paced(share)
    commit(1)
    pace.published(100)
    pass(40)
    commit(1, 100)
    pass(restMs - 1)
    expect(pace.isFree).toBe(false)
    pass(1)
    expect(pace.isFree).toBe(true)
  })

  it('without a rest where nothing is live', () => {
    const { pace, commit, pass } = paced()
    commit(1)
    pass(QUIET_MS)
    commit(0)
    pace.published(100)
    pass(40)
    commit(0, 100)
    expect(pace.isFree).toBe(true)
  })

  it('after a while where nothing is heard, with the fewest records, and so on', () => {
    const { pace, pass, commit } = paced()
    pass(QUIET_MS)
    commit(0)
    expect(pace.frameRecords).toBe(FRAME_RECORDS_MAX)
    pace.published(1_000)
    pass(PATIENCE_MS - 1)
    expect([pace.isFree, pace.frameRecords]).toEqual([false, FRAME_RECORDS_MAX])
    pass(1)
    expect([pace.isFree, pace.frameRecords]).toEqual([true, FRAME_RECORDS_MIN])
    pace.published(1_128)
    expect(pace.isFree).toBe(false)
    // What was lost is in what is said next.
    commit(0, 1_128)
    expect([pace.isFree, pace.frameRecords]).toEqual([true, FRAME_RECORDS_MAX])
  })

  it('not while the reader says anything: the frame is behind what it has committed', () => {
    const { pace, commit, pass } = paced()
    pace.published(300)
    pass(PATIENCE_MS - 1)
    commit(10, 299)
    pass(PATIENCE_MS - 1)
    expect(pace.isFree).toBe(false)
    pass(1)
    expect([pace.isFree, pace.frameRecords]).toEqual([true, FRAME_RECORDS_MIN])
  })

  it('again when a reader that went back to an older commit has it once more', () => {
    const { pace, commit } = paced()
    commit(500, 0)
    pace.published(200)
    commit(500, 200)
    commit(-900, 100)
    expect(pace.isFree).toBe(false)
    commit(300, 200)
    expect([pace.isFree, pace.frameRecords]).toEqual([true, 300])
  })
})

it('the fewest records are a slice, the most are below those of a commit', () => {
  expect(FRAME_RECORDS_MIN).toBe(DEFAULT_TUNING.sliceMax)
  // Ten milliseconds of ten microseconds each.
  expect(FRAME_RECORDS_MAX).toBe(10_000 / 10)
  expect(FRAME_RECORDS_MAX).toBeLessThan(DEFAULT_TUNING.commitRecordsMax)
})

describe('a frame has', () => {
  /** Frames one after the other, each committed together with `live` other records. */
  function frames(share: number, live: readonly number[]): number[] {
    const { pace, commit } = paced(share)
    commit(0)
    let number = 0
    return live.map((more) => {
      const records = pace.frameRecords
      number += records
      pace.published(number)
      commit(Math.floor(more / 2))
      commit(Math.ceil(more / 2), number)
      return records
    })
  }

  it('no more than its share of what is committed, in the long run exactly that', () => {
    const live = [400, 200, 301, 999, 400, 650, 130]
    expect(frames(0.5, [...live, 0])).toEqual([FRAME_RECORDS_MIN, ...live])
    expect(frames(0.25, [...live, 0]).slice(4, 6)).toEqual([333, 133])
    expect(frames(0.75, [100, 0])).toEqual([FRAME_RECORDS_MIN, 300])
  })

  it('never fewer than a slice, never so many that who is live waits long', () => {
    expect(frames(0.5, [3, 100_000, 0])).toEqual([FRAME_RECORDS_MIN, FRAME_RECORDS_MIN, FRAME_RECORDS_MAX])
    expect(frames(1, [3, 3])).toEqual([FRAME_RECORDS_MAX, FRAME_RECORDS_MAX])
  })

  it('all that it may when nothing is live, and its share again as soon as something is', () => {
    const { pace, commit, pass } = paced()
    commit(50)
    pace.published(128)
    commit(0, 128)
    pass(QUIET_MS - 1)
    commit(0)
    expect(pace.frameRecords).toBe(FRAME_RECORDS_MIN)
    // A commit that takes long does not say that nothing is live.
    pass(10 * QUIET_MS)
    expect(pace.frameRecords).toBe(FRAME_RECORDS_MIN)
    commit(0)
    expect(pace.frameRecords).toBe(FRAME_RECORDS_MAX)
    commit(1)
    expect(pace.frameRecords).toBe(FRAME_RECORDS_MIN)
  })
})
