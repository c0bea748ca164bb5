// Runs one operator the way a task does, on stores that are stricter than real ones, and says what it touched.
// H1: after every slice the stores forget what was not said to be changed, and keep the rest as bytes only: a missing
//     `want`, a missing `changed` and a codec that loses something all show.
// H2: `advance` is called as operators/operator.ts promises: before the first record at or above the watermark asked for.
// H3: timers fire as topology/pipeline.ts fires them: before the first record whose watermark is at or above the due time, in the
//     order (due time, kind, key, number), each told of the time before it; with `drain` all that is left at the end.
// The same on the real stores: test/operator-on-state.ts; several operators, timers on real stores, and operators that prepare
// something: test/stage-harness.ts.

import { blobName } from '../log/blobs.ts'
import { assert } from '../log/errors.ts'
import {
  type FiredTimer,
  type Operator,
  type OperatorContext,
  RANK,
  type Rec,
  type Timer,
  type TimerCause,
} from '../operators/operator.ts'
import { compareUtf8 } from '../state/key-layout.ts'
import {
  type Codec,
  HOLDS_READ_MAX,
  type HoldCodec,
  type HoldEntry,
  type HoldStore,
  type KeyedStore,
  type SeenStore,
  type StoreSpec,
} from '../state/store.ts'
import type { TaskState } from '../state/task-state.ts'

export interface Outcome<Out> {
  readonly out: readonly Rec<Out>[]
  readonly emitted: readonly { readonly output: string; readonly record: unknown; readonly input: number }[]
  readonly counts: Readonly<Record<string, number>>
  readonly highest: Readonly<Record<string, number>>
  /** Every question asked of a store, as text, in order. */
  readonly touched: readonly string[]
  /** Entries that are left, as text; keyed ones with their bytes in hex. Sorted. */
  readonly entries: readonly string[]
  keyed<V>(name: string): KeyedReader<V>
}

/** What is left in a keyed store. */
export interface KeyedReader<V> {
  readonly lowestBucket: number
  get(bucket: number, key: string): V | undefined
  /** In the order of (bucket, key). */
  all(): (readonly [bucket: number, key: string, value: V])[]
}

/** A record with the parts that matter to a test; `at` follows protocol.md section 8. */
export function recordOf<T>(value: T, parts: { time: number; watermark?: number; number?: number }): Rec<T> {
  const { time, watermark = -1, number = 0 } = parts
  const late = time <= watermark
  return { value, at: late ? watermark + 1 : time, watermark, late, rank: 1, type: '', id: '', number, input: 0 }
}

/** `drain`: the input ends with it, and operators are told this drainedAt. Not given: it only pauses. */
export function runOperator<In, Out>(
  operator: Operator<In, Out>,
  records: readonly Rec<In>[],
  { sliceRecords, drain }: { sliceRecords: number; drain?: number },
): Outcome<Out> {
  const stores = new StrictStores(operator.stores)
  const context = new Context(stores)
  const runner = new Runner(operator, context)
  for (const slice of slicesOf(records, sliceRecords)) {
    operator.keys?.(slice, context)
    runner.process(slice)
    stores.endSlice()
  }
  if (drain !== undefined) {
    context.drainedAt = drain
    runner.fireAll()
    stores.endSlice()
  }
  return {
    out: runner.out,
    emitted: context.emitted,
    counts: context.counts,
    highest: context.maxima,
    touched: stores.touched,
    entries: stores.entries(),
    keyed: <V>(name: string) => stores.keyed<V>(name).reader(),
  }
}

export function* slicesOf<T>(records: readonly Rec<T>[], sliceRecords: number): Iterable<Rec<T>[]> {
  for (let from = 0; from < records.length; from += sliceRecords) {
    yield records.slice(from, from + sliceRecords).map((rec, input) => ({ ...rec, input }))
  }
}

/** Calls process, advance and onTimer in the order that operators/operator.ts promises (H2, H3). */
export class Runner<In, Out> {
  readonly out: Rec<Out>[] = []
  readonly #operator: Operator<In, Out>
  readonly #context: Context
  #advanceAt: number

  constructor(operator: Operator<In, Out>, context: Context) {
    assert(operator.prepare === undefined && operator.prepareTimer === undefined, 'nothing is awaited here')
    this.#operator = operator
    this.#context = context
    context.kinds = operator.timers ?? null
    this.#advanceAt = operator.advance === undefined ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
  }

  process(slice: readonly Rec<In>[]): void {
    for (let rest = slice; rest.length > 0; ) {
      const { watermark } = rest[0]!
      this.#fireUpTo(watermark)
      this.#advance(watermark)
      const until = rest.findIndex((rec, i) => i > 0 && this.#begins(rec, rest[i - 1]!, watermark))
      const part = until < 0 ? rest : rest.slice(0, until)
      this.out.push(...this.#operator.process(part, this.#context))
      rest = rest.slice(part.length)
    }
  }

  /** The end of the input. Nothing expires any more. */
  fireAll(): void {
    for (let timer = this.#context.takeTimer(); timer !== null; timer = this.#context.takeTimer()) this.#fire(timer)
  }

  /** Whether a batch ends before a record: something may be due in between. */
  #begins({ watermark }: Rec<In>, before: Rec<In>, first: number): boolean {
    if (watermark >= this.#advanceAt || watermark >= this.#context.nextDue) return true
    const delayMinMs = this.#operator.timers?.delayMinMs
    return delayMinMs !== undefined && (before.late || watermark - first >= delayMinMs)
  }

  #advance(watermark: number): void {
    if (watermark >= this.#advanceAt) this.#advanceAt = this.#operator.advance!(watermark, this.#context)
    assert(this.#advanceAt > watermark, 'advance() asks for a watermark to come')
  }

  #fireUpTo(watermark: number): void {
    while (this.#context.nextDue <= watermark) {
      this.#advance(this.#context.nextDue - 1)
      this.#fire(this.#context.takeTimer()!)
    }
  }

  #fire(timer: FiredTimer): void {
    this.#operator.timerKeys?.(timer, this.#context)
    this.out.push(...(this.#operator.onTimer!(timer, this.#context) ?? []))
  }
}

type Stores = Pick<TaskState, 'keyed' | 'seen' | 'holds'>

export class Context implements OperatorContext {
  readonly emitted: { output: string; record: unknown; input: number }[] = []
  readonly counts: Record<string, number> = {}
  readonly maxima: Record<string, number> = {}
  /** Files that were kept, by SHA-256 (hex). */
  readonly blobs = new Map<string, Uint8Array>()
  drainedAt: number | null = null
  /** What the operator declared of its timers; null: it has none. */
  kinds: { readonly kinds: readonly string[]; readonly delayMinMs: number } | null = null
  /** In the order in which they fire. */
  readonly #timers: FiredTimer[] = []
  readonly #stores: Stores
  readonly #seenAfter: OperatorContext['seenAfter']

  constructor(stores: Stores, seenAfter: OperatorContext['seenAfter'] = () => -1) {
    this.#stores = stores
    this.#seenAfter = seenAfter
  }

  seenAfter(edition: number): number | null {
    return this.#seenAfter(edition)
  }

  configured(): null {
    return null
  }

  model(): null {
    return null
  }

  blob(bytes: Uint8Array): string {
    const sha256 = blobName(bytes)
    this.blobs.set(sha256, bytes)
    return sha256
  }

  async blobOf(sha256: string): Promise<Uint8Array | null> {
    return this.blobs.get(sha256) ?? null
  }

  keyed<V>(name: string): KeyedStore<V> {
    return this.#stores.keyed(name)
  }

  seen(name: string): SeenStore {
    return this.#stores.seen(name)
  }

  holds<V>(name: string): HoldStore<V> {
    return this.#stores.holds<V>(name, () => this.count('holds_left_out'))
  }

  count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by
  }

  highest(name: string, value: number): void {
    this.maxima[name] = Math.max(this.maxima[name] ?? Number.NEGATIVE_INFINITY, value)
  }

  emit(output: string, record: unknown, cause: { readonly input: number }): void {
    this.emitted.push({ output, record, input: cause.input })
  }

  emitJson(output: string, json: string, cause: { readonly input: number }): void {
    const record = JSON.parse(json)
    assert(JSON.stringify(record) === json, 'text is as JSON.stringify writes it')
    this.emit(output, record, cause)
  }

  setTimer(timer: Timer, cause: TimerCause): void {
    assert(this.kinds?.kinds.includes(timer.kind) === true, `the timer kind ${timer.kind} is declared`)
    const delayMinMs = cause.late || cause.rank === RANK.timer ? 0 : this.kinds.delayMinMs
    assert(timer.dueMs >= cause.at + delayMinMs, 'a timer is due delayMinMs after its cause, or later')
    // Only JSON comes back from state.
    const set = { ...timer, payload: JSON.parse(JSON.stringify(timer.payload ?? null)), number: cause.number }
    const behind = this.#timers.findIndex((other) => this.#compare(set, other) <= 0)
    const at = behind < 0 ? this.#timers.length : behind
    assert(behind < 0 || this.#compare(set, this.#timers[at]!) < 0, 'no two timers have the same key')
    this.#timers.splice(at, 0, set)
  }

  get nextDue(): number {
    return this.#timers[0]?.dueMs ?? Number.POSITIVE_INFINITY
  }

  takeTimer(): FiredTimer | null {
    return this.#timers.shift() ?? null
  }

  #compare(a: FiredTimer, b: FiredTimer): number {
    const kind = (timer: FiredTimer) => this.kinds!.kinds.indexOf(timer.kind)
    return a.dueMs - b.dueMs || kind(a) - kind(b) || compareUtf8(a.key, b.key) || a.number - b.number
  }
}

class StrictStores implements Stores {
  readonly touched: string[] = []
  readonly #stores = new Map<string, StrictKeyed<unknown> | StrictSeen | StrictHolds<unknown>>()

  constructor(specs: readonly StoreSpec[]) {
    for (const spec of specs) {
      this.#stores.set(spec.name, this.#storeOf(spec))
    }
  }

  keyed<V>(name: string): StrictKeyed<V> {
    return this.#stores.get(name) as StrictKeyed<V>
  }

  seen(name: string): StrictSeen {
    return this.#stores.get(name) as StrictSeen
  }

  holds<V>(name: string, onLeftOut: () => void): StrictHolds<V> {
    const store = this.#stores.get(name) as StrictHolds<V>
    store.onLeftOut = onLeftOut
    return store
  }

  #storeOf(spec: StoreSpec): StrictKeyed<unknown> | StrictSeen | StrictHolds<unknown> {
    assert(spec.kind !== 'queue', 'queues belong to the task')
    if (spec.kind === 'keyed') return new StrictKeyed(spec.codec, this.touched)
    if (spec.kind === 'seen') return new StrictSeen(spec.bucketMs)
    return new StrictHolds(spec, this.touched)
  }

  endSlice(): void {
    for (const store of this.#stores.values()) store.endSlice()
  }

  entries(): string[] {
    return [...this.#stores].flatMap(([name, store]) => store.entries().map((entry) => `${name} ${entry}`)).sort()
  }
}

const place = (bucket: number, key: string): string => JSON.stringify([bucket, key])

class StrictKeyed<V> implements KeyedStore<V> {
  lowestBucket = Number.NEGATIVE_INFINITY
  readonly #codec: Codec<V>
  readonly #touched: string[]
  readonly #bytes = new Map<string, Uint8Array>()
  /** What this slice may get: undefined where there is nothing. */
  readonly #memory = new Map<string, V | undefined>()
  readonly #dirty = new Set<string>()

  constructor(codec: Codec<V>, touched: string[]) {
    this.#codec = codec
    this.#touched = touched
  }

  want(bucket: number, key: string): void {
    assert(bucket >= this.lowestBucket, 'no expired bucket is wanted')
    const at = place(bucket, key)
    this.#touched.push(at)
    if (!this.#memory.has(at)) this.#memory.set(at, this.#read(at))
  }

  get(bucket: number, key: string): V | undefined {
    const at = place(bucket, key)
    assert(this.#memory.has(at), `${at} was not wanted`)
    return this.#memory.get(at)
  }

  set(bucket: number, key: string, value: V): void {
    assert(bucket >= this.lowestBucket, 'nothing is stored in an expired bucket')
    this.#memory.set(place(bucket, key), value)
    this.changed(bucket, key)
  }

  changed(bucket: number, key: string): void {
    this.#dirty.add(place(bucket, key))
  }

  delete(bucket: number, key: string): void {
    this.#memory.set(place(bucket, key), undefined)
    this.changed(bucket, key)
  }

  expireBelow(bucket: number): void {
    this.lowestBucket = Math.max(this.lowestBucket, bucket)
    for (const map of [this.#bytes, this.#memory]) {
      for (const at of map.keys()) if (JSON.parse(at)[0] < this.lowestBucket) map.delete(at)
    }
  }

  endSlice(): void {
    for (const at of this.#dirty) {
      const value = this.#memory.get(at)
      if (value === undefined) this.#bytes.delete(at)
      else this.#bytes.set(at, this.#codec.encode(value))
    }
    this.#dirty.clear()
    this.#memory.clear()
  }

  entries(): string[] {
    return [...this.#bytes].map(([at, bytes]) => `${at} ${Buffer.from(bytes).toString('hex')}`)
  }

  reader(): KeyedReader<V> {
    return {
      lowestBucket: this.lowestBucket,
      get: (bucket, key) => this.#read(place(bucket, key)),
      all: () => {
        const places = [...this.#bytes.keys()].map((at) => JSON.parse(at) as [number, string])
        places.sort(([a, x], [b, y]) => a - b || compareUtf8(x, y))
        return places.map(([bucket, key]) => [bucket, key, this.#read(place(bucket, key))!])
      },
    }
  }

  #read(at: string): V | undefined {
    const bytes = this.#bytes.get(at)
    return bytes === undefined ? undefined : this.#codec.decode(bytes)
  }
}

class StrictSeen implements SeenStore {
  readonly #bucketMs: number
  readonly #wanted = new Set<string>()
  #entries: { id: string; timeMs: number; bucket: number }[] = []

  constructor(bucketMs: number) {
    this.#bucketMs = bucketMs
  }

  want(...question: Parameters<SeenStore['want']>): void {
    this.#wanted.add(JSON.stringify(question))
  }

  has(...question: Parameters<SeenStore['has']>): boolean {
    assert(this.#wanted.has(JSON.stringify(question)), `${question} was not wanted`)
    const [user, type, id, timeMs, horizonMs] = question
    const text = JSON.stringify([user, type, id])
    return this.#entries.some((entry) => entry.id === text && Math.abs(entry.timeMs - timeMs) <= horizonMs)
  }

  add(user: string, type: string, id: string, timeMs: number, notBeforeMs: number): void {
    const bucket = this.bucketOf(Math.max(timeMs, notBeforeMs))
    this.#entries.push({ id: JSON.stringify([user, type, id]), timeMs, bucket })
  }

  expireBelow(bucket: number): void {
    this.#entries = this.#entries.filter((entry) => entry.bucket >= bucket)
  }

  bucketOf(timeMs: number): number {
    return Math.floor(timeMs / this.#bucketMs)
  }

  endSlice(): void {
    this.#wanted.clear()
  }

  entries(): string[] {
    return this.#entries.map(({ id, timeMs, bucket }) => `${bucket} ${id} ${timeMs}`)
  }
}

interface StrictHold {
  readonly bucket: number
  readonly group: string
  readonly timeMs: number
  readonly id: string
  readonly bytes: Uint8Array
}

/** A list, searched from end to end. */
export class StrictHolds<V> implements HoldStore<V> {
  onLeftOut: () => void = () => {}
  readonly #bucketMs: number
  readonly #codec: HoldCodec<V>
  readonly #readMax: number
  readonly #touched: string[]
  readonly #wanted = new Set<string>()
  #lowest = Number.NEGATIVE_INFINITY
  readonly #held = new Map<string, StrictHold>()

  constructor(
    { bucketMs, codec, readMax = HOLDS_READ_MAX }: { bucketMs: number; codec: HoldCodec<V>; readMax?: number },
    touched: string[] = [],
  ) {
    this.#bucketMs = bucketMs
    this.#codec = codec
    this.#readMax = readMax
    this.#touched = touched
  }

  put(group: string, timeMs: number, id: string, value: V, keptFromMs: number): void {
    const bucket = this.bucketOf(Math.max(timeMs, keptFromMs))
    assert(bucket >= this.#lowest, 'nothing is held in an expired bucket')
    const held: StrictHold = { bucket, group, timeMs, id, bytes: this.#codec.encode(value) }
    this.#held.set(JSON.stringify([bucket, group, timeMs, id]), held)
  }

  want(...range: Parameters<HoldStore<V>['want']>): void {
    const at = JSON.stringify(range)
    this.#touched.push(at)
    this.#wanted.add(at)
  }

  get(group: string, fromMs: number, toMs: number): readonly HoldEntry<V>[] {
    assert(this.#wanted.has(JSON.stringify([group, fromMs, toMs])), `${[group, fromMs, toMs]} was not wanted`)
    const read = new Map<string, HoldEntry<V>>()
    for (const held of [...this.#held.values()].sort((a, b) => a.bucket - b.bucket)) {
      const { timeMs, id, bytes } = held
      if (held.group !== group || timeMs < fromMs || timeMs > toMs) continue
      read.set(JSON.stringify([timeMs, id]), { timeMs, id, value: this.#codec.decode(bytes, group, held) })
    }
    if (read.size > this.#readMax) this.onLeftOut()
    return [...read.values()]
      .sort((a, b) => a.timeMs - b.timeMs || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)))
      .slice(-this.#readMax)
  }

  expireBelow(bucket: number): void {
    this.#lowest = Math.max(this.#lowest, bucket)
    for (const [at, { bucket }] of this.#held) if (bucket < this.#lowest) this.#held.delete(at)
  }

  bucketOf(timeMs: number): number {
    return Math.floor(timeMs / this.#bucketMs)
  }

  endSlice(): void {
    this.#wanted.clear()
  }

  entries(): string[] {
    return [...this.#held].map(([at, { bytes }]) => `${at} ${Buffer.from(bytes).toString('hex')}`)
  }
}
