// Runs one operator the way a task does, on stores that are stricter than real ones, and says what it touched.
// H1: after every slice the stores forget what was not said to be changed, and keep the rest as bytes only: a missing
//     `want`, a missing `changed` and a codec that loses something all show.
// H2: `advance` is called as operators/operator.ts promises: before the first record at or above the watermark asked for.
// The same on the real stores: test/operator-on-state.ts.

import { assert } from '../log/errors.ts'
import type { Operator, OperatorContext, Rec } from '../operators/operator.ts'
import { compareUtf8 } from '../state/key-layout.ts'
import type { Codec, KeyedStore, SeenStore, StoreSpec } from '../state/store.ts'

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
  return { value, at: late ? watermark + 1 : time, watermark, late, type: '', id: '', number, input: 0 }
}

export function runOperator<In, Out>(
  operator: Operator<In, Out>,
  records: readonly Rec<In>[],
  { sliceRecords }: { sliceRecords: number },
): Outcome<Out> {
  const stores = new StrictStores(operator.stores)
  const context = new Context(stores)
  const runner = new Runner(operator, context)
  for (const slice of slicesOf(records, sliceRecords)) {
    operator.keys?.(slice, context)
    runner.process(slice)
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

/** Calls process and advance in the order that operators/operator.ts promises (H2). */
export class Runner<In, Out> {
  readonly out: Rec<Out>[] = []
  readonly #operator: Operator<In, Out>
  readonly #context: OperatorContext
  #advanceAt: number

  constructor(operator: Operator<In, Out>, context: OperatorContext) {
    this.#operator = operator
    this.#context = context
    this.#advanceAt = operator.advance === undefined ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
  }

  process(slice: readonly Rec<In>[]): void {
    for (let rest = slice; rest.length > 0; ) {
      const { watermark } = rest[0]!
      if (watermark >= this.#advanceAt) this.#advanceAt = this.#operator.advance!(watermark, this.#context)
      assert(this.#advanceAt > watermark, 'advance() asks for a watermark to come')
      const until = rest.findIndex((rec) => rec.watermark >= this.#advanceAt)
      const part = until < 0 ? rest : rest.slice(0, until)
      this.out.push(...this.#operator.process(part, this.#context))
      rest = rest.slice(part.length)
    }
  }
}

type Stores = Pick<OperatorContext, 'keyed' | 'seen'>

export class Context implements OperatorContext {
  readonly emitted: { output: string; record: unknown; input: number }[] = []
  readonly counts: Record<string, number> = {}
  readonly maxima: Record<string, number> = {}
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

  keyed<V>(name: string): KeyedStore<V> {
    return this.#stores.keyed(name)
  }

  seen(name: string): SeenStore {
    return this.#stores.seen(name)
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

  setTimer(): void {
    throw new Error('no operator of these tests sets timers')
  }
}

class StrictStores implements Stores {
  readonly touched: string[] = []
  readonly #stores = new Map<string, StrictKeyed<unknown> | StrictSeen>()

  constructor(specs: readonly StoreSpec[]) {
    for (const spec of specs) {
      assert(spec.kind !== 'queue', 'queues belong to the task')
      const store = spec.kind === 'keyed' ? new StrictKeyed(spec.codec, this.touched) : new StrictSeen(spec.bucketMs)
      this.#stores.set(spec.name, store)
    }
  }

  keyed<V>(name: string): StrictKeyed<V> {
    return this.#stores.get(name) as StrictKeyed<V>
  }

  seen(name: string): StrictSeen {
    return this.#stores.get(name) as StrictSeen
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
