// What a task accepts from its stream: new records of the right writers, each once, with the chain that was left off at.

import { beforeEach, describe, expect, it } from 'vitest'
import type { ErrorCode } from '../log/errors.ts'
import { encodeFrame, encodeFrameHeader, FRAME_HEADER, type FrameHeader } from '../log/frame.ts'
import type { LogMessage } from '../log/log.ts'
import { type Computed, chunkOf, startOf } from '../log/numbering.ts'
import { Intake, type Opened, type WriterCursor } from './intake.ts'
import type { StagePlan } from './plan.ts'

const PREFIX = 'ns.pages.0.'
const STAGE = { writers: ['a', 'b'] } as unknown as StagePlan
const ALL = Array.from({ length: 20 }, (_, i) => `["r${i + 1}"]`)

let cursors: Map<string, WriterCursor>
let intake: Intake
let seq: number

beforeEach(() => {
  seq = 0
  cursors = Intake.start(STAGE, (writer) => PREFIX + writer)
  intake = new Intake({ subjectPrefix: PREFIX, cursors, writers: STAGE.writers, feedback: [], plain: null })
})

/** Where a writer stands after its first `count` records. */
function stateAfter(writer: string, count: number): Computed {
  return chunkOf(ALL.slice(0, count), startOf(writer, PREFIX + writer)).after
}

/** A frame with records first … last of a writer; first > last: none. */
function frame(
  writer: string,
  first: number,
  last: number,
  changes: Partial<FrameHeader> = {},
  payload?: string,
): LogMessage {
  const header = encodeFrameHeader({
    first,
    count: last - first + 1,
    chainBefore: stateAfter(writer, first - 1).chain,
    chainAfter: stateAfter(writer, last).chain,
    generation: 1,
    instance: 'i',
    watermark: last * 10,
    coveredSeq: 0,
    coveredIndex: 0,
    ...changes,
  })
  return message(writer, payload ?? encodeFrame(ALL.slice(first - 1, last)).toString(), { [FRAME_HEADER]: header })
}

function message(writer: string, payload: string, headers: Record<string, string> | null = null): LogMessage {
  return { seq: ++seq, subject: PREFIX + writer, headers, payload: Buffer.from(payload), timeNs: 1n, timeMs: 0 }
}

function apply(opened: Opened, count = opened.count): void {
  intake.applied(opened, count)
  if (count === opened.count) intake.applyWatermark(opened)
}

const namesOf = ({ records }: Opened) => records.map((record) => (record as string[])[0])

function halts(code: ErrorCode, run: () => unknown): void {
  expect(run).toThrow(expect.objectContaining({ code }))
}

describe('frames of a numbered writer', () => {
  it('follow each other, each writer on its own', () => {
    for (const [writer, first, last] of [
      ['a', 1, 2],
      ['b', 1, 1],
      ['a', 3, 3],
      ['b', 2, 5],
    ] as const) {
      const opened = intake.open(frame(writer, first, last), 0)
      expect(namesOf(opened)).toEqual(ALL.slice(first - 1, last).map((r) => JSON.parse(r)[0]))
      apply(opened)
    }
    expect(cursors.get('a')).toEqual({ ...stateAfter('a', 3), watermark: 30, seq: 3, drained: false })
    expect(cursors.get('b')).toEqual({ ...stateAfter('b', 5), watermark: 50, seq: 4, drained: false })
  })

  it('are dropped where they were applied: whole frames, and the beginning of a frame', () => {
    apply(intake.open(frame('a', 1, 4), 0))
    for (const [first, last, fresh] of [
      [1, 4, []],
      [2, 3, []],
      [4, 4, []],
      [3, 6, ['r5', 'r6']],
      [1, 9, ['r7', 'r8', 'r9']],
    ] as const) {
      const opened = intake.open(frame('a', first, last), 0)
      expect(namesOf(opened)).toEqual(fresh)
      expect(opened.skipped).toBe(last - first + 1 - fresh.length)
      apply(opened)
    }
    expect(cursors.get('a')).toMatchObject(stateAfter('a', 9))
  })

  it('may be without records', () => {
    apply(intake.open(frame('a', 1, 3), 0))
    const opened = intake.open(frame('a', 4, 3, { watermark: 77 }), 0)
    expect(opened.records).toEqual([])
    apply(opened)
    expect(cursors.get('a')).toMatchObject({ ...stateAfter('a', 3), watermark: 77 })
  })

  it('with a missing record before them: GAP', () => {
    halts('GAP', () => intake.open(frame('a', 2, 3), 0))
    apply(intake.open(frame('a', 1, 3), 0))
    halts('GAP', () => intake.open(frame('a', 5, 6), 0))
    halts('GAP', () => intake.open(frame('a', 5, 4), 0))
  })

  it('that go on from other records than were applied: LOG_WENT_BACK', () => {
    apply(intake.open(frame('a', 1, 3), 0))
    const other = { ...startOf('x', 'y'), number: 3 }
    const chunk = chunkOf(ALL.slice(3, 5), other)
    const chains = { chainBefore: chunk.before.chain, chainAfter: chunk.after.chain }
    halts('LOG_WENT_BACK', () => intake.open(frame('a', 4, 5, chains), 0))
    const empty = { chainBefore: other.chain, chainAfter: other.chain }
    halts('LOG_WENT_BACK', () => intake.open(frame('a', 4, 3, empty), 0))
    const records = ['["r2"]', '["another"]', '["r4"]']
    const overlap = chunkOf(records, stateAfter('a', 1))
    const header = { chainBefore: overlap.before.chain, chainAfter: overlap.after.chain }
    halts('LOG_WENT_BACK', () => intake.open(frame('a', 2, 4, header, encodeFrame(records).toString()), 0))
  })

  it('whose records are not what the header says: FOREIGN_WRITE', () => {
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 1, 2, {}, '[["r1"],\n["rX"]]'), 0))
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 1, 2, {}, '[["r1"]]'), 0))
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 1, 2, {}, '{"r":1}'), 0))
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 1, 2, { count: 3 }), 0))
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 1, 2, { chainAfter: stateAfter('a', 3).chain }), 0))
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 1, 0, {}, 'hello'), 0))
  })

  it('without a valid header, or of somebody that the plan does not name: FOREIGN_WRITE', () => {
    halts('FOREIGN_WRITE', () => intake.open(message('a', '[]'), 0))
    halts('FOREIGN_WRITE', () => intake.open(message('a', '[]', { [FRAME_HEADER]: '1 x' }), 0))
    for (const writer of ['c', 'in', 'a.b', '']) halts('FOREIGN_WRITE', () => intake.open(frame(writer, 1, 1), 0))
  })

  it('after the drain: FOREIGN_WRITE, unless there is nothing new in them', () => {
    apply(intake.open(frame('a', 1, 3), 0))
    intake.drained('a', null)
    expect(intake.open(frame('a', 1, 3), 0).records).toEqual([])
    expect(intake.open(frame('a', 4, 3), 0).records).toEqual([])
    halts('FOREIGN_WRITE', () => intake.open(frame('a', 4, 4), 0))
  })

  it('only the last of the writers that are waited for drains the stage', () => {
    expect(['a', 'b', 'c'].map((writer) => intake.isDrainedBy(writer))).toEqual([false, false, false])
    intake.drained('a', null)
    expect(['a', 'b', 'c'].map((writer) => intake.isDrainedBy(writer))).toEqual([false, true, false])
  })
})

describe('a frame that was applied in part', () => {
  it('leaves number and chain at its last record, and the watermark where it was', () => {
    const whole = frame('a', 1, 6)
    for (let count = 0; count < 6; count++) {
      apply(intake.open(whole, 0), count)
      intake.settle()
      expect(cursors.get('a')).toMatchObject({ ...stateAfter('a', count), watermark: -1 })
      expect(namesOf(intake.open(whole, 0))).toEqual(['r1', 'r2', 'r3', 'r4', 'r5', 'r6'].slice(count))
    }
    apply(intake.open(whole, 0))
    expect(cursors.get('a')).toMatchObject({ ...stateAfter('a', 6), watermark: 60 })
  })

  it('changes nothing when it is only opened', () => {
    const before = JSON.stringify([...cursors])
    intake.open(frame('a', 1, 6), 0)
    expect(JSON.stringify([...cursors])).toBe(before)
  })
})

describe('the watermark', () => {
  it('is the lowest of all writers, none until each has one, and only goes up', () => {
    const behind = (writer: string, first: number, watermark: number) => {
      const opened = intake.open(frame(writer, first, first, { watermark }), 0)
      const lowest = intake.watermarkBehind(opened)
      apply(opened)
      return lowest
    }
    expect(behind('a', 1, 50)).toBe(-1)
    expect(behind('b', 1, 20)).toBe(20)
    expect(behind('b', 2, 70)).toBe(50)
    expect(behind('a', 2, 40)).toBe(null)
    expect(behind('a', 3, 60)).toBe(60)
  })

  it('is not moved before it is applied: a frame that was only opened says it again', () => {
    apply(intake.open(frame('b', 1, 1, { watermark: 90 }), 0))
    const opened = intake.open(frame('a', 1, 1, { watermark: 50 }), 0)
    intake.applied(opened, 1)
    expect([intake.watermarkBehind(opened), intake.watermarkBehind(opened)]).toEqual([50, 50])
    intake.applyWatermark(opened)
    expect(intake.watermarkBehind(opened)).toBe(null)
  })

  it('is waited for from the writers of the plan alone: one of a plan of before is known, and holds nobody up', () => {
    const opened = intake.open(frame('a', 1, 2), 0)
    const changed = new Intake({ subjectPrefix: PREFIX, cursors, writers: ['a'], feedback: [], plain: null })
    expect([intake.watermarkBehind(opened), changed.watermarkBehind(opened)]).toEqual([-1, 20])
    expect(changed.open(frame('b', 1, 1), 0).records).toHaveLength(1)
    for (const each of [intake, changed]) each.drained('a', 7)
    expect([intake.isDrainedBy('a'), changed.isDrainedBy('a')]).toEqual([false, true])
    expect(changed.drainedAt).toBe(7)
  })
})

it('who sends back moves time, and counts in no promise, no end of the input and nothing that was accepted', () => {
  const loop = new Intake({ subjectPrefix: PREFIX, cursors, writers: ['a', 'b'], feedback: ['b'], plain: null })
  expect([loop.sendsBack('a'), loop.sendsBack('b'), loop.promised]).toEqual([false, true, -1])
  const opened = loop.open(frame('a', 1, 1, { watermark: 90 }), 0)
  expect(loop.watermarkBehind(opened)).toBe(-1)
  loop.applied(opened, 1)
  loop.applyWatermark(opened)
  expect(loop.watermarkBehind(loop.open(frame('b', 1, 1, { watermark: 50 }), 0))).toBe(50)
  expect(loop.promised).toBe(90)
  expect([loop.isDrainedBy(), loop.isDrainedBy('b'), loop.isDrainedBy('a')]).toEqual([false, false, true])
  loop.drained('a', 7)
  expect([loop.isDrainedBy(), loop.isFeedbackDrained]).toEqual([true, false])
  loop.drained('b', 9)
  expect([loop.isFeedbackDrained, loop.drainedAt]).toEqual([true, 7])
})

describe('unnumbered messages', () => {
  it('of plain clients are opened by the stage, from the record that was not applied', () => {
    const plain = new Intake({
      subjectPrefix: PREFIX,
      cursors,
      writers: [],
      feedback: [],
      plain: (m) => JSON.parse(Buffer.from(m.payload).toString()),
    })
    const two = message('in', '[1,2,3]')
    expect(plain.open(two, 0)).toMatchObject({ kind: 'plain', records: [1, 2, 3], skipped: 0, count: 3 })
    expect(plain.open(two, 2)).toMatchObject({ kind: 'plain', records: [3], skipped: 2, count: 3 })
  })

  it('of control are arrays, or FOREIGN_WRITE', () => {
    expect(intake.open(message('ctl', '[{"hf":"tick"}]'), 0)).toMatchObject({
      kind: 'control',
      records: [{ hf: 'tick' }],
    })
    for (const bad of ['{"hf":"tick"}', 'tick', '']) halts('FOREIGN_WRITE', () => intake.open(message('ctl', bad), 0))
  })
})
