// Operators made to be sensitive: whatever differs between two runs of a task shows in what these keep and emit.
// SO1: a witness folds everything it is told of every record, in order, into one hash per key: a record too many, too few,
//      changed, moved, or with another watermark before it gives another hash for ever after.
// SO2: an alarm folds in the order in which timers fire between records.
// SO3: what an answerer emits says when its timer fired, after what, and whether the input was drained then.
// They are pure like any operator; what they compute means nothing.

import { assert } from '../../log/errors.ts'
import { emittedBy, type Operator, type OperatorContext, RANK, type Rec } from '../../operators/operator.ts'
import type { Codec, StoreSpec } from '../../state/store.ts'

/** Mutable: what a witness or an alarm remembers of a key. */
interface Memory {
  hash: number
  count: number
}

/** A value, with the hash of everything that its witness had seen up to it. */
export interface Witnessed<T> {
  readonly of: T
  readonly hash: number
}

/** The store of each operator here; everything stands in bucket 0. */
const MEMORY = 'memory'
const BUCKET = 0
/** The key under which a witness remembers all records of its task. */
const EVERYTHING = '*'

const memoryCodec: Codec<Memory> = {
  encode: ({ hash, count }) => Buffer.from(`${hash} ${count}`),
  decode: (bytes) => {
    const [hash, count] = Buffer.from(bytes).toString().split(' ').map(Number)
    return { hash: hash!, count: count! }
  },
}

const STORES: readonly StoreSpec[] = [{ kind: 'keyed', id: 1, name: MEMORY, codec: memoryCodec }]

/** MurmurHash3's finish over FNV-1a: small changes move every bit. */
export function mixed(hash: number, text: string): number {
  let h = hash ^ 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (h ^ (h >>> 13)) >>> 0
}

function remember(ctx: OperatorContext, key: string, seen: string): number {
  const store = ctx.keyed<Memory>(MEMORY)
  const memory = store.get(BUCKET, key)
  if (memory === undefined) {
    const hash = mixed(0, seen)
    store.set(BUCKET, key, { hash, count: 1 })
    return hash
  }
  memory.hash = mixed(memory.hash, seen)
  memory.count++
  store.changed(BUCKET, key)
  return memory.hash
}

/** Everything an operator is told of a record, but its place in the slice. */
const toldOf = ({ value, at, watermark, late, rank, type, id, number }: Rec<unknown>): string =>
  JSON.stringify([value, at, watermark, late, type, id, number, ...(rank === RANK.timer ? ['timer'] : [])])

/** `scope`: `task` also folds all records of the task, whatever their key (another number of partitions then shows). */
export function witness<T>(keyOf: (value: T) => string, scope: 'key' | 'task'): Operator<T, Witnessed<T>> {
  return {
    name: 'witness',
    version: 1,
    settings: { scope },
    stores: STORES,
    keys(batch, ctx) {
      const store = ctx.keyed<Memory>(MEMORY)
      if (scope === 'task') store.want(BUCKET, EVERYTHING)
      for (const { value } of batch) store.want(BUCKET, keyOf(value))
    },
    process(batch, ctx) {
      return batch.map((record) => {
        const told = toldOf(record)
        let hash = remember(ctx, keyOf(record.value), told)
        if (scope === 'task') hash = mixed(hash, String(remember(ctx, EVERYTHING, told)))
        ctx.count('witnessed')
        return { ...record, value: { of: record.value, hash } }
      })
    },
  }
}

/** Emits nought to three records per record, to the outputs in turn, and passes the record on. */
export function echo<T>(
  outputs: readonly string[],
  describe: (value: T) => unknown,
): Operator<Witnessed<T>, Witnessed<T>> {
  return {
    name: 'echo',
    version: 1,
    settings: { outputs },
    stores: [],
    process(batch, ctx) {
      for (const record of batch) {
        const { hash, of } = record.value
        const copies = hash % 4
        for (let copy = 0; copy < copies; copy++) {
          const output = outputs[(hash + copy) % outputs.length]!
          ctx.emit(output, ['echo', describe(of), copy, hash, record.watermark], record)
        }
      }
      return batch
    },
  }
}

/** The least delay between a record and its timers, milliseconds. */
const DELAY_MIN_MS = 1_000
/** Records of neighbours in time then fall between a timer's setting and its firing. */
const DELAY_SPREAD_MS = 180_000
const REARM_MS = 45_000
const REARMS_MAX = 2

/** Sets two timers per record, of which the second sets itself again; keeps a hash over records and firings. */
export function alarm<T>(
  keyOf: (value: T) => string,
  idOf: (value: T) => string,
  output: string | null,
): Operator<T, T> {
  return {
    name: 'alarm',
    version: 1,
    settings: { output },
    stores: STORES,
    timers: { kinds: ['second', 'first'], delayMinMs: DELAY_MIN_MS },
    keys(batch, ctx) {
      for (const { value } of batch) ctx.keyed<Memory>(MEMORY).want(BUCKET, keyOf(value))
    },
    process(batch, ctx) {
      for (const record of batch) {
        const key = keyOf(record.value)
        const id = idOf(record.value)
        const hash = remember(ctx, key, toldOf(record))
        const due = record.at + DELAY_MIN_MS + (mixed(7, id) % DELAY_SPREAD_MS)
        ctx.setTimer({ dueMs: due, kind: 'first', key: id, payload: [key, 0] }, record)
        ctx.setTimer({ dueMs: due, kind: 'second', key: id, payload: [key, 0] }, record)
        if (output !== null && hash % 3 === 0) ctx.emit(output, ['set', id, due, hash], record)
      }
      return batch
    },
    timerKeys({ payload }, ctx) {
      ctx.keyed<Memory>(MEMORY).want(BUCKET, (payload as [string])[0])
    },
    onTimer(timer, ctx) {
      const [key, times] = timer.payload as [string, number]
      const hash = remember(ctx, key, JSON.stringify(timer))
      if (output !== null) ctx.emit(output, ['fired', timer.kind, timer.key, timer.dueMs, hash], { input: 0 })
      ctx.count(`fired_${timer.kind}`)
      if (timer.kind !== 'second' || times >= REARMS_MAX) return
      const dueMs = timer.dueMs + REARM_MS
      ctx.setTimer(
        { ...timer, dueMs, payload: [key, times + 1] },
        { at: timer.dueMs, rank: 2, number: times + 1, late: false },
      )
    },
  }
}

/** Emits from a timer, some time after each record, what it remembers of the record's key by then; a late record's at once. */
export function answerer(): Operator<string, Witnessed<string>> {
  return {
    name: 'answerer',
    version: 1,
    settings: {},
    stores: STORES,
    timers: { kinds: ['answer'], delayMinMs: DELAY_MIN_MS },
    keys(batch, ctx) {
      for (const { value } of batch) ctx.keyed<Memory>(MEMORY).want(BUCKET, value)
    },
    process(batch, ctx) {
      for (const record of batch) {
        const { value, at, late, type, id, number } = record
        remember(ctx, value, toldOf(record))
        const delay = late ? 0 : DELAY_MIN_MS + (mixed(7, id) % DELAY_SPREAD_MS)
        const timer = { dueMs: at + delay, kind: 'answer', key: `${type}/${id}/${number}`, payload: [value, type, id] }
        ctx.setTimer(timer, record)
      }
      return []
    },
    timerKeys({ payload }, ctx) {
      ctx.keyed<Memory>(MEMORY).want(BUCKET, (payload as [string])[0])
    },
    onTimer(timer, ctx) {
      const [of, type, id] = timer.payload as [string, string, string]
      const hash = remember(ctx, of, JSON.stringify([timer, ctx.drainedAt]))
      ctx.count(ctx.drainedAt === null ? 'answered' : 'answered at the end')
      return [emittedBy(timer, { of, hash }, { type, id })]
    },
  }
}

/** The switch of `fickle`: the one thing in a simulation that an operator must not know. */
export interface Mood {
  changed: boolean
}

/** Of a hash, what neither the number of its copies nor the outputs that they go to depend on. */
const SAME_COPIES = 12

/** An impure operator, on purpose: what it emits changes with `mood`, and not how much. Recovery has to see that its past differs. */
export function fickle<T>(mood: Mood): Operator<Witnessed<T>, Witnessed<T>> {
  return {
    name: 'fickle',
    version: 1,
    settings: {},
    stores: [],
    process(batch) {
      assert(batch.length > 0, 'an operator is not called for nothing')
      return batch.map((record) =>
        mood.changed ? { ...record, value: { ...record.value, hash: record.value.hash + SAME_COPIES } } : record,
      )
    },
  }
}
