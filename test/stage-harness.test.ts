// The stage harness itself, and with it: what timers emit is processed as if each record and each timer came alone.

import { expect, it } from 'vitest'
import { emittedBy, type Operator, type Rec } from '../operators/operator.ts'
import { type Codec, HOLDS_READ_MAX } from '../state/store.ts'
import { runOperator } from './operator-harness.ts'
import { runOnTaskState } from './operator-on-state.ts'
import { runStage, type StageRunOptions, type StageStep } from './stage-harness.ts'

const OUT = 'said'
const textCodec: Codec<string> = {
  encode: (text) => Buffer.from(text),
  decode: (bytes) => Buffer.from(bytes).toString(),
}

/** Keeps what it was told under a key, and says the whole of it; a timer for each record says it again, and sets one more. */
function teller(name: string, delayMs: number, again: boolean): Operator<string, string> {
  const told = 'told'
  return {
    ...{ name, version: 1, settings: {} },
    stores: [{ kind: 'keyed', id: 1, name: told, codec: textCodec }],
    timers: { kinds: ['b', 'a'], delayMinMs: delayMs },
    keys(batch, ctx) {
      for (const { value } of batch) ctx.keyed(told).want(0, value[0]!)
    },
    process(batch, ctx) {
      for (const record of batch) {
        const { value, at, id, number, late } = record
        const all = `${ctx.keyed<string>(told).get(0, value[0]!) ?? ''} ${value}@${at}`.slice(-60)
        ctx.keyed(told).set(0, value[0]!, all)
        ctx.emit(OUT, [name, all], record)
        const key = `${id}/${value}/${at}`
        ctx.setTimer({ dueMs: at + (late ? 0 : delayMs), kind: 'a', key, payload: value }, record)
        if (number % 2 === 0) ctx.setTimer({ dueMs: at + delayMs, kind: 'b', key, payload: value }, record)
      }
      return batch
    },
    timerKeys: ({ payload }, ctx) => ctx.keyed(told).want(0, (payload as string)[0]!),
    onTimer(timer, ctx) {
      const value = timer.payload as string
      const all = ctx.keyed<string>(told).get(0, value[0]!)!.slice(-40)
      ctx.keyed(told).set(0, value[0]!, `${all} ${timer.kind}`)
      ctx.emit(OUT, [name, timer.kind, timer.dueMs, all], { input: 0 })
      ctx.count('fired')
      const isLast = !again || timer.key.endsWith('+')
      const { dueMs, number } = timer
      // At the same time and a little later: both before timers that are there already.
      if (!isLast) {
        const cause = { at: dueMs, rank: 2, number, late: false } as const
        ctx.setTimer({ ...timer, dueMs, kind: 'a', key: `${timer.key}${timer.kind}+` }, cause)
        ctx.setTimer({ ...timer, dueMs: dueMs + 1, key: `${timer.key}${timer.kind}++` }, cause)
      }
      return value.length > 3
        ? undefined
        : [emittedBy(timer, `${value}${timer.kind}`, { type: 't', id: timer.key + timer.kind })]
    },
    advance(watermark, ctx) {
      ctx.highest(`${name} told`, Math.floor(watermark / 10))
      return (Math.floor(watermark / 10) + 1) * 10
    },
  }
}

const rec = (value: string, at: number, watermark: number, number: number): Rec<string> => {
  const late = at <= watermark
  return { value, at: late ? watermark + 1 : at, watermark, late, rank: 1, type: 't', id: value, number, input: 0 }
}

/** Two dozen records, some of them late and several at a time, with watermarks that jump. */
const STEPS: readonly StageStep[] = (() => {
  const steps: StageStep[] = []
  for (let i = 0; i < 24; i++) {
    const watermark = 5 * (i >> 1)
    steps.push(rec(`${'xyz'[i % 3]}${i % 4}`, watermark + (i % 5 === 0 ? -2 : 3), watermark, i))
    if (i === 15) steps.push(watermark + 4)
  }
  return steps
})()

it('says the same for any slices and restarts, also where a timer is due before one that was due already', async () => {
  const chain = () => [teller('one', 4, true), teller('two', 2, false)]
  const run = (options: StageRunOptions) => runStage(chain, STEPS, { outputs: [OUT], drain: 50, ...options })
  const alone = await run({ sliceMax: 1, recordsPerSlice: 1 })
  expect(alone.out.filter(({ rank }) => rank === 2).length).toBeGreaterThan(20)
  expect(alone.counts.fired).toBeGreaterThan(100)
  for (const options of [{}, { sliceMax: 3 }, { recordsPerSlice: 5 }, { restartEvery: 1, recordsPerSlice: 1 }]) {
    expect(await run(options)).toEqual(alone)
    expect(await run({ ...options, restartEvery: 2, recordsPerSlice: 4 })).toEqual(alone)
  }
})

it('agrees with the harness of one operator, which has other stores and its own order of timers', async () => {
  const records = STEPS.filter((step) => typeof step !== 'number')
  const staged = await runStage(() => [teller('one', 4, true)], records, { outputs: [OUT], drain: 50 })
  for (const sliceRecords of [1, 5, 24]) {
    const alone = runOperator(teller('one', 4, true), records as Rec<string>[], { sliceRecords, drain: 50 })
    expect(alone.out.map((record) => ({ ...record, input: 0 }))).toEqual(staged.out)
    expect(alone.emitted.map(({ record }) => record)).toEqual(staged.emitted[OUT])
    expect([alone.counts, alone.highest]).toEqual([staged.counts, staged.highs])
  }
})

it('tells of the drain, and fires nothing without it that is not due', async () => {
  const at: (number | null)[] = []
  const asks: Operator<string, string> = {
    ...{ name: 'asks', version: 1, settings: {}, stores: [], timers: { kinds: ['k'], delayMinMs: 1 } },
    process(batch, ctx) {
      for (const record of batch) ctx.setTimer({ dueMs: 30, kind: 'k', key: record.value, payload: null }, record)
      at.push(ctx.drainedAt)
      return batch
    },
    onTimer(_, ctx) {
      at.push(ctx.drainedAt)
      return undefined
    },
  }
  await runStage(() => [asks], [rec('a', 5, 4, 0), 29])
  expect(at).toEqual([null])
  await runStage(() => [asks], [rec('a', 5, 4, 0), 29], { drain: 17 })
  expect(at).toEqual([null, null, 17])
})

/** Holds each record for a while, and says what it finds of the same group in the last 20 ms, for values of two letters. */
function holder(): Operator<string, string> {
  const held = 'held'
  return {
    ...{ name: 'holder', version: 1, settings: {} },
    stores: [{ kind: 'holds', id: 1, name: held, bucketMs: 1000, codec: textCodec }],
    keys(batch, ctx) {
      for (const { value, at } of batch) if (value.length > 1) ctx.holds(held).want(value[0]!, at - 20, at)
    },
    process(batch, ctx) {
      return batch.map((record) => {
        const { value, at, number, watermark } = record
        ctx.holds<string>(held).put(value[0]!, at, `${value}${number}`, value.repeat(2), watermark)
        const found = value.length > 1 ? ctx.holds<string>(held).get(value[0]!, at - 20, at) : []
        return { ...record, value: found.map((one) => `${one.timeMs} ${one.id} ${one.value}`).join(', ') }
      })
    },
    advance(watermark, ctx) {
      ctx.holds(held).expireBelow(ctx.holds(held).bucketOf(watermark - 30))
      return watermark + 7
    },
  }
}

it('holds are the same in a stage, on the stores of a task and on strict ones, for any slices and restarts', async () => {
  const records = STEPS.filter((step) => typeof step !== 'number') as Rec<string>[]
  const said = (out: readonly Rec<unknown>[]) => out.map(({ value }) => value)
  const whole = await runStage(() => [holder()], records)
  expect(new Set(said(whole.out)).size).toBeGreaterThan(20)
  for (const options of [{ sliceMax: 1 }, { recordsPerSlice: 5, restartEvery: 1 }, { sliceMax: 2, restartEvery: 1 }])
    expect(await runStage(() => [holder()], records, options)).toEqual(whole)
  for (const sliceRecords of [1, 5, 24]) {
    expect(said(runOperator(holder(), records, { sliceRecords }).out)).toEqual(said(whole.out))
    const { out, dump } = await runOnTaskState(holder(), records, { sliceRecords })
    expect([said(out), dump.length]).toEqual([said(whole.out), whole.dump.length])
  }
})

it('a task counts the reads of holds that left the older ones out', async () => {
  const held = Array.from({ length: HOLDS_READ_MAX - 1 }, (_, number) => rec('x', 1, -1, number))
  const records = [...held, ...[1, 2, 3].map((more) => rec('xx', 1, -1, held.length + more))]
  const { counts } = await runStage(() => [holder()], records)
  expect(counts).toEqual({ holds_left_out: 2 })
  expect(runOperator(holder(), records, { sliceRecords: records.length }).counts).toEqual(counts)
})
