// How batches go through the operators of a stage: what an operator is told and in which order, whatever the batches were.
// The operators here write down what happens to them into an output; the bytes of that output are compared.

import { describe, expect, it } from 'vitest'
import { HoldfastError } from '../log/errors.ts'
import { joinRecords } from '../log/frame.ts'
import { LogUnavailable } from '../log/log.ts'
import { emittedBy, type Operator, type OperatorContext, type Rec, type Timer } from '../operators/operator.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import type { Codec } from '../state/store.ts'
import { TaskState } from '../state/task-state.ts'
import { topology } from './dsl.ts'
import { Outgoing } from './outgoing.ts'
import { HELD, Pipeline, TIMERS } from './pipeline.ts'
import type { ExchangeCodec, Plan } from './plan.ts'
import { Tally } from './tally.ts'

const DIARY = { name: 'diary', mode: 'records' } as const

type AnyOperator = Operator<unknown, unknown>
interface Value {
  readonly name: string
  /** Timers that the record sets: due, kind, key. */
  readonly timers?: readonly (readonly [due: number, kind: string, key: string])[]
}

const passOn: AnyOperator = { name: 'pass', version: 1, settings: {}, stores: [], process: (batch) => batch }

/** Says of every record, timer and advance that it came. */
function diary(
  name: string,
  options: { advanceEvery?: number; kinds?: readonly string[]; delayMinMs?: number } = {},
): AnyOperator {
  const { advanceEvery, kinds, delayMinMs = 1 } = options
  const say = (ctx: Parameters<AnyOperator['process']>[1], line: string, input = 0) =>
    ctx.emit(DIARY.name, `${name}: ${line}`, { input })
  return {
    name,
    version: 1,
    settings: {},
    stores: [],
    process(batch, ctx) {
      for (const record of batch) {
        const { name: text, timers = [] } = record.value as Value
        say(ctx, `record ${text}`, record.input)
        if (kinds === undefined) continue
        for (const [dueMs, kind, key] of timers) ctx.setTimer({ dueMs, kind, key, payload: key }, record)
      }
      return batch
    },
    ...(kinds === undefined
      ? {}
      : {
          timers: { kinds, delayMinMs },
          onTimer(timer: Timer, ctx: OperatorContext) {
            say(ctx, `timer ${timer.dueMs} ${timer.kind} ${timer.key}`)
            return undefined
          },
        }),
    ...(advanceEvery === undefined
      ? {}
      : {
          // Like expiry: what matters is the highest multiple that has been passed.
          advance(watermark: number) {
            return (Math.floor(watermark / advanceEvery) + 1) * advanceEvery
          },
        }),
  }
}

interface World {
  readonly pipeline: Pipeline
  readonly lines: () => string[]
  /** What there is to publish, by destination. */
  readonly takeAll: () => unknown[][]
}

async function worldOf(
  operators: readonly AnyOperator[],
  sliceMax: number,
  disk = new MemoryDisk(),
): Promise<World & { state: TaskState }> {
  const options = { namespace: 'n', name: 'n', clock: 'data', partitions: 1, latenessMs: 0 } as const
  const plan: Plan = topology(options, (t) => {
    let stream = t.source('s', passOn, [DIARY])
    for (const operator of operators) stream = stream.through(operator)
  })
  return worldOfPlan(plan, sliceMax, disk)
}

async function worldOfPlan(
  plan: Plan,
  sliceMax: number,
  disk = new MemoryDisk(),
): Promise<World & { state: TaskState }> {
  const stage = plan.stages[0]!
  const state = await TaskState.open(disk.open(), [...stage.stores, HELD, TIMERS])
  const outgoing = new Outgoing('data', { partition: 0, partitions: 1 }, stage.exchanges, stage.outputs)
  const pipeline = new Pipeline({
    ...{ stage, state, outgoing, sliceMax, tally: new Tally() },
    pause: async () => {},
    position: () => ({ stream: 'n_s_0', seq: 7, index: 3 }),
    configured: () => null,
    seenAfter: () => -1,
    model: () => null,
    blobOf: async () => null,
  })
  const takeAll = () => outgoing.take().map(({ texts }) => JSON.parse(`[${joinRecords(texts)}]`) as unknown[])
  return { pipeline, state, takeAll, lines: () => takeAll()[0] as string[] }
}

/** A record as the order buffer hands it on. */
function rec(at: number, value: Omit<Value, 'name'> & { name?: string } = {}): Rec<unknown> {
  const name = value.name ?? String(at)
  return {
    value: { ...value, name },
    at,
    watermark: at - 1,
    late: false,
    rank: 1,
    type: 't',
    id: name,
    number: at,
    input: 0,
  }
}

const numbered = (records: readonly Rec<unknown>[]) => records.map((record, input) => ({ ...record, input }))

/** The diary of a run in which records come in these groups, with the watermark passed in these steps. */
async function diaryOf(
  operators: () => readonly AnyOperator[],
  steps: readonly (readonly Rec<unknown>[] | number)[],
  sliceMax: number,
): Promise<string[]> {
  const { pipeline, lines } = await worldOf(operators(), sliceMax)
  for (const step of steps) {
    if (typeof step === 'number') await pipeline.passTime(step)
    else await pipeline.run(numbered(step))
  }
  await pipeline.passTime(Number.POSITIVE_INFINITY)
  return lines()
}

const KINDS = ['z', 'a']
const ONE_BY_ONE = 1

describe('timers', () => {
  const setsTimers = rec(10, {
    timers: [
      [30, 'a', 'k2'],
      [30, 'a', 'k1'],
      [30, 'z', 'k3'],
      [20, 'a', 'k4'],
      [31, 'z', 'k5'],
    ],
  })

  it('fire before the first record above them, never after the slice, and not before a record of their own time', async () => {
    const steps = [[setsTimers, rec(19), rec(20), rec(21), rec(30), rec(31), rec(40)]]
    for (const sliceMax of [ONE_BY_ONE, 3, 128]) {
      expect(await diaryOf(() => [diary('d', { kinds: KINDS })], steps, sliceMax)).toEqual([
        'd: record 10',
        'd: record 19',
        'd: record 20',
        'd: timer 20 a k4',
        'd: record 21',
        'd: record 30',
        'd: timer 30 z k3',
        'd: timer 30 a k1',
        'd: timer 30 a k2',
        'd: record 31',
        'd: timer 31 z k5',
        'd: record 40',
      ])
    }
  })

  it('wait for a watermark or the end where no record follows', async () => {
    const operators = () => [diary('d', { kinds: KINDS })]
    const { pipeline, lines } = await worldOf(operators(), 128)
    await pipeline.run([setsTimers, rec(15)])
    expect(lines()).toEqual(['d: record 10', 'd: record 15'])
    await pipeline.passTime(30)
    expect(lines()).toEqual(['d: timer 20 a k4', 'd: timer 30 z k3', 'd: timer 30 a k1', 'd: timer 30 a k2'])
    await pipeline.passTime(Number.POSITIVE_INFINITY)
    expect(lines()).toEqual(['d: timer 31 z k5'])
  })

  it('of two operators are two timers, those of the earlier operator first', async () => {
    const record = rec(10, { timers: [[20, 'a', 'same']] })
    const operators = () => [diary('one', { kinds: ['a'] }), diary('two', { kinds: ['a'] })]
    expect(await diaryOf(operators, [[record], 50], 128)).toEqual([
      'one: record 10',
      'two: record 10',
      'one: timer 20 a same',
      'two: timer 20 a same',
    ])
  })

  it('that timers set fire in their turn, also at the end of the input', async () => {
    const again: AnyOperator = {
      ...diary('d', { kinds: ['a'], delayMinMs: 10 }),
      onTimer({ dueMs, key }, ctx) {
        ctx.emit(DIARY.name, `fired ${dueMs}`, { input: 0 })
        if (dueMs < 50)
          ctx.setTimer(
            { dueMs: dueMs + 10, kind: 'a', key, payload: null },
            { at: dueMs, rank: 2, number: 0, late: false },
          )
        return undefined
      },
    }
    const record = rec(10, { timers: [[20, 'a', 'k']] })
    const fired = ['fired 20', 'fired 30', 'fired 40', 'fired 50']
    expect(await diaryOf(() => [again], [[record], 100], 128)).toEqual(['d: record 10', ...fired])
    expect(await diaryOf(() => [again], [[record]], 128)).toEqual(['d: record 10', ...fired])
    expect(await diaryOf(() => [again], [[record, rec(36)]], 128)).toEqual([
      'd: record 10',
      ...['fired 20', 'fired 30', 'd: record 36', 'fired 40', 'fired 50'],
    ])
  })

  it('survive a restart', async () => {
    const disk = new MemoryDisk()
    const first = await worldOf([diary('d', { kinds: KINDS })], 128, disk)
    await first.pipeline.run([setsTimers])
    await first.state.write(first.state.cut(), '{}')
    await first.state.close()
    const second = await worldOf([diary('d', { kinds: KINDS })], 128, disk)
    await second.pipeline.run([rec(25)])
    expect(second.lines()).toEqual(['d: timer 20 a k4', 'd: record 25'])
  })

  it('that are due too soon, of an unknown kind, or of an operator without timers are refused', async () => {
    const run = async (timer: readonly [number, string, string], kinds: readonly string[] | undefined) => {
      const { pipeline } = await worldOf(
        [
          {
            ...diary('d', kinds === undefined ? {} : { kinds, delayMinMs: 5 }),
            process: (batch, ctx) => {
              for (const record of batch)
                ctx.setTimer({ dueMs: timer[0], kind: timer[1], key: timer[2], payload: null }, record)
              return batch
            },
          },
        ],
        128,
      )
      await pipeline.run([rec(10)])
    }
    await expect(run([14, 'a', 'k'], ['a'])).rejects.toThrow('due delayMinMs after its cause')
    await expect(run([15, 'b', 'k'], ['a'])).rejects.toThrow('kind b is declared')
    await expect(run([15, 'a', 'k'], undefined)).rejects.toThrow('declares them')
    await run([15, 'a', 'k'], ['a'])
  })
})

describe('what a timer emits', () => {
  const emits = (name: string): AnyOperator => ({
    ...diary(name, { kinds: ['a'], delayMinMs: 5 }),
    onTimer: (timer) => [emittedBy(timer, { name: `${name}${timer.dueMs}` }, { type: 't', id: timer.key })],
  })

  it('goes through the nodes behind it before the next timer fires, and before records of a later time', async () => {
    const records = [
      rec(10, {
        timers: [
          [20, 'a', 'k'],
          [20, 'a', 'l'],
          [30, 'a', 'm'],
        ],
      }),
      rec(20),
      rec(21),
      rec(40),
    ]
    for (const sliceMax of [ONE_BY_ONE, 2, 128]) {
      const lines = await diaryOf(
        () => [diary('before'), emits('e'), diary('behind', { advanceEvery: 7 })],
        [records],
        sliceMax,
      )
      const behind = lines.filter((line) => line.startsWith('behind'))
      expect(behind.map((line) => line.replace('behind: record ', ''))).toEqual([
        '10',
        '20',
        'e20',
        'e20',
        '21',
        'e30',
        '40',
      ])
      expect(lines.filter((line) => line.startsWith('before'))).toHaveLength(4)
    }
  })

  it('may set timers in the nodes behind that fire before the next of its own node', async () => {
    const sets: AnyOperator = {
      ...diary('s', { kinds: ['a'] }),
      process(batch, ctx) {
        for (const record of batch) {
          const { name } = record.value as Value
          ctx.emit(DIARY.name, name, record)
          if (record.rank === 2) ctx.setTimer({ dueMs: record.at + 1, kind: 'a', key: name, payload: null }, record)
        }
        return batch
      },
    }
    const timers = [20, 21, 22].map((due) => [due, 'a', 'k'] as const)
    const lines = await diaryOf(() => [emits('e'), sets], [[rec(10, { timers })], 100], 128)
    const said = lines.filter((line) => !line.startsWith('e:'))
    expect(said).toEqual(['10', 'e20', 'e21', 's: timer 21 a e20', 'e22', 's: timer 22 a e21', 's: timer 23 a e22'])
  })

  it('stands at the due time, with the number of its cause, and goes to the exchanges of its node and of those behind', async () => {
    const codec: ExchangeCodec<unknown, unknown> = {
      ...{ name: 'x', version: 1, where: () => true, key: () => '' },
      encode: (value) => JSON.stringify((value as Value).name),
      decode: (json) => json,
    }
    const plan = topology({ namespace: 'n', name: 'n', clock: 'data', partitions: 1, latenessMs: 0 }, (t) => {
      const first = t.source('s', passOn, [DIARY]).through(emits('e'))
      first.keyBy('direct', codec)
      first.through(diary('behind')).keyBy('behind', codec)
    })
    const { pipeline, takeAll } = await worldOfPlan(plan, 128)
    await pipeline.run([rec(10, { timers: [[20, 'a', 'k']] }), rec(30)])
    const record = (at: number) => `[${at},0,"${at}",${at},"t","${at}"]`
    const sent = [record(10), '[20,2,"e20",10,"t","k"]', record(30)]
    expect(takeAll().slice(0, 2)).toEqual([sent, sent].map((texts) => texts.map((text) => JSON.parse(text))))
  })

  it('may set timers that are due at once, as a late record may, and fire before anything later', async () => {
    const sets: AnyOperator = {
      ...diary('s', { kinds: ['a'], delayMinMs: 5 }),
      process(batch, ctx) {
        for (const record of batch) {
          const { name } = record.value as Value
          ctx.emit(DIARY.name, name, record)
          const isSoon = record.late || record.rank === 2
          if (isSoon) ctx.setTimer({ dueMs: record.at, kind: 'a', key: name, payload: null }, record)
        }
        return batch
      },
      onTimer(timer, ctx) {
        ctx.emit(DIARY.name, `fired ${timer.key}`, { input: 0 })
        return undefined
      },
    }
    const late = { ...rec(11, { name: 'late' }), late: true }
    // What a timer of a stage before has emitted, and a record of the same time.
    const came = [{ ...rec(14, { name: 'came' }), rank: 2 as const }, rec(14)]
    const records = [rec(10, { timers: [[20, 'a', 'k']] }), late, rec(12), ...came, rec(15), rec(25)]
    for (const sliceMax of [ONE_BY_ONE, 128]) {
      const lines = await diaryOf(() => [emits('e'), sets], [records], sliceMax)
      expect(lines.filter((line) => !line.startsWith('e'))).toEqual([
        '10',
        'late',
        'fired late',
        '12',
        'came',
        '14',
        'fired came',
        '15',
        'fired e20',
        '25',
      ])
    }
  })

  it('tells nobody of a time after what was accepted while the input is drained (R6)', async () => {
    const told: number[] = []
    const asks: AnyOperator = {
      ...diary('d'),
      advance(watermark) {
        told.push(watermark)
        return watermark + 10
      },
    }
    const { pipeline } = await worldOf([asks], 128)
    await pipeline.run([rec(10)])
    pipeline.drain(30)
    await pipeline.run([rec(21), rec(50), rec(70)])
    expect(told).toEqual([9, 20, 30])
  })
})

describe('time', () => {
  /** Keeps entries until the watermark passes them; a timer says whether its entry is still there. */
  function keeper(): AnyOperator {
    const codec: Codec<string> = {
      encode: (text) => Buffer.from(text),
      decode: (bytes) => Buffer.from(bytes).toString(),
    }
    const WIDTH = 100
    return {
      name: 'keeper',
      version: 1,
      settings: {},
      stores: [{ kind: 'keyed', id: 1, name: 'kept', codec }],
      timers: { kinds: ['look'], delayMinMs: 1 },
      keys(batch, ctx) {
        for (const { at } of batch) ctx.keyed('kept').want(Math.floor(at / WIDTH), 'k')
      },
      process(batch, ctx) {
        for (const { at, value } of batch) {
          ctx.keyed('kept').set(Math.floor(at / WIDTH), 'k', 'v')
          for (const [dueMs, kind, key] of (value as Value).timers ?? [])
            ctx.setTimer({ dueMs, kind, key, payload: at }, { at, rank: 1, number: at, late: false })
        }
        return batch
      },
      timerKeys: ({ payload }, ctx) => {
        const bucket = Math.floor((payload as number) / WIDTH)
        if (bucket >= ctx.keyed('kept').lowestBucket) ctx.keyed('kept').want(bucket, 'k')
      },
      onTimer({ dueMs, payload }, ctx) {
        const bucket = Math.floor((payload as number) / WIDTH)
        const kept = bucket >= ctx.keyed('kept').lowestBucket && ctx.keyed('kept').get(bucket, 'k') !== undefined
        ctx.emit(DIARY.name, `${dueMs} ${kept ? 'kept' : 'gone'}`, { input: 0 })
        return undefined
      },
      advance(watermark, ctx) {
        const lowest = Math.max(0, Math.floor(watermark / WIDTH))
        ctx.keyed('kept').expireBelow(lowest)
        return (lowest + 1) * WIDTH
      },
    }
  }

  it('passes for operators up to a timer before it fires, and no further: jumps of the watermark do not show', async () => {
    const record = rec(110, {
      timers: [
        [150, 'look', 'a'],
        [199, 'look', 'b'],
        [200, 'look', 'c'],
        [201, 'look', 'd'],
        [450, 'look', 'e'],
      ],
    })
    const expected = ['150 kept', '199 kept', '200 kept', '201 gone', '450 gone']
    const small = Array.from({ length: 50 }, (_, i) => 110 + 10 * i)
    for (const watermarks of [[1000], [199, 1000], [150, 200, 201, 1000], small]) {
      expect(await diaryOf(() => [keeper()], [[record], ...watermarks], 128)).toEqual(expected)
    }
    expect(await diaryOf(() => [keeper()], [[record, rec(1000)]], 128)).toEqual(expected)
    expect(await diaryOf(() => [keeper()], [[record, ...small.slice(1).map((at) => rec(at)), rec(1000)]], 128)).toEqual(
      expected,
    )
  })

  it('is told before the first record whose watermark reaches what the operator asked for, and each time once', async () => {
    for (const sliceMax of [ONE_BY_ONE, 2, 128]) {
      const told: number[] = []
      const asks: AnyOperator = {
        ...diary('d'),
        advance(watermark, ctx) {
          told.push(watermark)
          ctx.emit(DIARY.name, `advance`, { input: 0 })
          return (Math.floor(watermark / 100) + 1) * 100
        },
      }
      const records = [10, 50, 100, 101, 150, 350, 351].map((at) => rec(at))
      const { pipeline, lines } = await worldOf([asks], sliceMax)
      await pipeline.run(numbered(records))
      expect(told).toEqual([9, 100, 349])
      const rest = ['advance', 'd: record 350', 'd: record 351']
      const begin = ['advance', 'd: record 10', 'd: record 50', 'd: record 100', 'advance']
      expect(lines().sort()).toEqual([...begin, 'd: record 101', 'd: record 150', ...rest].sort())
    }
  })

  it('that an operator asks for must lie ahead', async () => {
    const stuck: AnyOperator = { ...passOn, advance: (watermark) => watermark }
    await expect((await worldOf([stuck], 128)).pipeline.run([rec(5)])).rejects.toThrow('a time that has passed')
  })
})

describe('batches', () => {
  it('are no larger than a slice, and no operator is called with none', async () => {
    const sizes: number[] = []
    const counts: AnyOperator = {
      ...passOn,
      process: (batch) => {
        sizes.push(batch.length)
        return batch
      },
    }
    const drops: AnyOperator = { ...passOn, process: () => [] }
    const never: AnyOperator = { ...passOn, process: () => expect.unreachable() }
    const { pipeline } = await worldOf([counts, drops, never], 3)
    await pipeline.run([1, 2, 3, 4, 5, 6, 7].map((at) => rec(at)))
    expect(sizes).toEqual([3, 3, 1])
  })

  it('do not show in what several operators emit', async () => {
    const operators = () => [diary('one'), diary('two', { kinds: KINDS }), diary('three', { advanceEvery: 7 })]
    const records = Array.from({ length: 30 }, (_, i) => rec(3 * i, { timers: [[3 * i + 5, 'a', 'k']] }))
    const expected = await diaryOf(operators, [records], 128)
    expect(expected.slice(0, 3)).toEqual(['one: record 0', 'two: record 0', 'three: record 0'])
    for (const sliceMax of [ONE_BY_ONE, 4, 7]) expect(await diaryOf(operators, [records], sliceMax)).toEqual(expected)
    expect(await diaryOf(operators, [records.slice(0, 11), records.slice(11)], 128)).toEqual(expected)
  })
})

it('what a timer needs is prepared right before it fires, when those before it have, also of one batch', async () => {
  const told: string[] = []
  let ready = ''
  const operator: AnyOperator = {
    ...diary('preparing', { kinds: ['a'] }),
    timerKeys: ({ key }) => void told.push(`keys of ${key}`),
    prepareTimer: async ({ key }, ctx) => {
      told.push(`prepares ${key} under ${ctx.model(1)}`)
      await Promise.resolve()
      ready = key
    },
    onTimer({ key }) {
      expect(ready).toBe(key)
      told.push(`fires ${key}`)
      return undefined
    },
  }
  const { pipeline } = await worldOf([operator], 128)
  await pipeline.run([
    rec(5, {
      timers: [
        [6, 'a', 'k'],
        [6, 'a', 'l'],
      ],
    }),
  ])
  await pipeline.passTime(9)
  const each = (key: string) => [`prepares ${key} under null`, `fires ${key}`]
  expect(told).toEqual(['keys of k', 'keys of l', ...each('k'), ...each('l')])
})

describe('an operator that throws', () => {
  it.each(['keys', 'process', 'advance', 'onTimer'])('in %s halts with its name and the position', async (method) => {
    const broken: AnyOperator = {
      ...diary('broken', { kinds: ['a'] }),
      [method]: () => {
        throw new TypeError('a bug')
      },
    }
    const { pipeline } = await worldOf([broken], 128)
    const run = pipeline.run([rec(5, { timers: [[6, 'a', 'k']] }), rec(9)])
    await expect(run).rejects.toMatchObject({
      code: 'OPERATOR_FAILED',
      message: expect.stringContaining('broken: a bug'),
      numbers: { stream: 'n_s_0', seq: 7, index: 3 },
    })
  })

  it.each([
    [
      'throws',
      () => {
        throw new TypeError('a bug')
      },
    ],
    ['rejects', () => Promise.reject(new TypeError('a bug'))],
  ])('where what it prepares %s: the same, and it processes nothing', async (_, prepare) => {
    const never: AnyOperator = { ...passOn, name: 'broken', prepare, process: () => expect.unreachable() }
    const { pipeline } = await worldOf([never], 128)
    await expect(pipeline.run([rec(5)])).rejects.toMatchObject({
      code: 'OPERATOR_FAILED',
      message: expect.stringContaining('broken: a bug'),
      numbers: { stream: 'n_s_0', seq: 7, index: 3 },
    })
  })

  it('in what it prepares for a timer: the same, and the timer does not fire', async () => {
    const prepareTimer = () => Promise.reject(new TypeError('a bug'))
    const never: AnyOperator = {
      ...diary('broken', { kinds: ['a'] }),
      prepareTimer,
      onTimer: () => expect.unreachable(),
    }
    const { pipeline } = await worldOf([never], 128)
    await pipeline.run([rec(5, { timers: [[6, 'a', 'k']] })])
    await expect(pipeline.passTime(9)).rejects.toMatchObject({
      code: 'OPERATOR_FAILED',
      message: expect.stringContaining('broken: a bug'),
      numbers: { stream: 'n_s_0', seq: 7, index: 3 },
    })
  })

  it('because the broker is away, while the task is told to stop, has done nothing wrong', async () => {
    const prepare = () => Promise.reject(new LogUnavailable('away'))
    const { pipeline } = await worldOf([{ ...passOn, prepare }], 128)
    await expect(pipeline.run([rec(5)])).rejects.toBeInstanceOf(LogUnavailable)
  })

  it('a code of its own keeps it', async () => {
    const broken: AnyOperator = {
      ...passOn,
      process: () => {
        throw new HoldfastError('STATE_CORRUPT', 'x')
      },
    }
    await expect((await worldOf([broken], 128)).pipeline.run([rec(5)])).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
  })
})
