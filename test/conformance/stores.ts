// What TaskState and its stores must do on every Backend: whatever the slices, commits, caches and restarts, the answers and
// the dump are those of a slow reference twin that knows none of them (S3 of state/store.ts, Q1, E4, T1, T2, N1).
// Run by state/task-state.test.ts on memory and on RocksDB.

import fc from 'fast-check'
import { expect } from 'vitest'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import type { Codec, OrderKey, StoreSpec } from '../../state/store.ts'
import { TaskState, type TaskStateOptions } from '../../state/task-state.ts'
import type { BackendPlace } from './backend.ts'

const BUCKET_MS = 10_000
const USERS = ['u', 'ü', '\u{10000}']
const KEYS = ['a', 'b', 'ä', '', '\uffff', '\u{1f600}', 'long-'.repeat(30)]

export const jsonCodec: Codec<{ n: number }> = {
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()),
}

export const SPECS: readonly StoreSpec[] = [
  { kind: 'keyed', id: 0, name: 'values', codec: jsonCodec },
  { kind: 'seen', id: 200, name: 'ids', bucketMs: BUCKET_MS },
  { kind: 'queue', id: 255, name: 'held' },
]

/** Small enough that every path is taken by a few dozen operations. */
export const TINY: TaskStateOptions = {
  keyedCacheEntries: 4,
  packedEntriesMax: 2,
  queueMemoryEntries: 6,
  seen: { sealEntries: 5, pagesCachedMax: 2 },
}

// --- operations ---

type Op =
  | { readonly op: 'get' | 'set' | 'delete' | 'change'; readonly bucket: number; readonly key: number }
  | {
      readonly op: 'seen'
      readonly user: number
      readonly id: number
      readonly timeMs: number
      readonly horizonMs: number
      readonly late: boolean
      readonly add: boolean
    }
  | { readonly op: 'push'; readonly at: number; readonly rank: number; readonly type: number }
  | { readonly op: 'pop'; readonly count: number }
  | { readonly op: 'expireValues' | 'expireIds'; readonly bucket: number }

type Step =
  | { readonly step: 'slice'; readonly ops: readonly Op[] }
  | { readonly step: 'cut' | 'settle' | 'snapshot' | 'reopen' | 'crash'; readonly back: number }

const bucket = fc.nat(5)
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constantFrom('get' as const, 'set' as const, 'delete' as const, 'change' as const),
      bucket,
      key: fc.nat(KEYS.length - 1),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('seen' as const),
      user: fc.nat(USERS.length - 1),
      id: fc.nat(12),
      timeMs: fc.integer({ min: 0, max: 6 * BUCKET_MS }),
      horizonMs: fc.constantFrom(0, 500, BUCKET_MS, 3 * BUCKET_MS),
      late: fc.boolean(),
      add: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('push' as const),
      at: fc.nat(30),
      rank: fc.nat(2),
      type: fc.nat(KEYS.length - 1),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('pop' as const), count: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constantFrom('expireValues' as const, 'expireIds' as const), bucket }) },
)
const step = (crashes: boolean): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ step: fc.constant('slice' as const), ops: fc.array(op, { minLength: 1, maxLength: 8 }) }),
    },
    { weight: 4, arbitrary: fc.record({ step: fc.constant('cut' as const), back: fc.constant(0) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        step: fc.constantFrom(
          'settle' as const,
          'snapshot' as const,
          'reopen' as const,
          ...(crashes ? (['crash'] as const) : []),
        ),
        back: fc.nat(3),
      }),
    },
  )

// --- the twin ---

interface SeenEntry {
  readonly user: string
  readonly id: string
  readonly timeMs: number
  readonly bucket: number
}

/** What the stores should hold, in the plainest form. */
class Twin {
  values = new Map<string, number>()
  ids: SeenEntry[] = []
  held: { key: OrderKey; value: string }[] = []
  lowestValues = Number.NEGATIVE_INFINITY
  lowestIds = Number.NEGATIVE_INFINITY
  pushed = 0

  copy(): Twin {
    const copy = new Twin()
    copy.values = new Map(this.values)
    copy.ids = [...this.ids]
    copy.held = [...this.held]
    copy.lowestValues = this.lowestValues
    copy.lowestIds = this.lowestIds
    copy.pushed = this.pushed
    return copy
  }

  dump(): string[] {
    const values = [...this.values].map(([at, n]) => {
      const value = Buffer.from(JSON.stringify({ n })).toString('base64')
      return JSON.stringify(['values', ...(JSON.parse(at) as unknown[]), value])
    })
    const ids = this.ids.map((e) => JSON.stringify(['ids', e.bucket, e.user, 'page_view', e.id, e.timeMs]))
    const held = this.held.map(({ key, value }) =>
      JSON.stringify(['held', key.at, key.rank, key.type, key.id, key.number, value]),
    )
    return [...held, ...[...new Set(ids)].sort(), ...values.sort()]
  }
}

function orderBytes(key: OrderKey): Buffer {
  const numbers = Buffer.alloc(9)
  numbers.writeBigUInt64BE(BigInt(key.at))
  numbers[8] = key.rank
  const last = Buffer.alloc(8)
  last.writeBigUInt64BE(BigInt(key.number))
  return Buffer.concat([numbers, Buffer.from(`${key.type}\0${key.id}\0`), last])
}

// --- running both ---

export interface Crashable extends BackendPlace {
  /** Kills the process; its last batches, at most this many, are gone. Returns how many batches are left. */
  crash?(lostBatches: number): number
}

interface Pinned {
  readonly snapshot: ReadSnapshot
  readonly twin: Twin
}

/** Plays random programs on a state and its twin. */
export async function runPrograms(
  place: () => Promise<Crashable>,
  options: TaskStateOptions,
  numRuns: number,
  crashes: boolean,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step(crashes), { minLength: 5, maxLength: 40 }), async (program) => {
      const here = await place()
      const run = await Run.open(here, options)
      try {
        for (const s of program) await run.play(s)
        await run.check()
      } finally {
        await run.close()
        await here.remove()
      }
    }),
    { numRuns },
  )
}

class Run {
  readonly #place: Crashable
  readonly #options: TaskStateOptions
  #state: TaskState
  #twin = new Twin()
  /** The twin as of each commit that was written, the empty state first. */
  #commits: Twin[] = [new Twin()]
  #writing: Promise<void> = Promise.resolve()
  #pinned: Pinned[] = []

  private constructor(place: Crashable, options: TaskStateOptions, state: TaskState) {
    this.#place = place
    this.#options = options
    this.#state = state
  }

  static async open(place: Crashable, options: TaskStateOptions): Promise<Run> {
    return new Run(place, options, await TaskState.open(await place.open(), SPECS, options))
  }

  async play(s: Step): Promise<void> {
    if (s.step === 'slice') await this.#slice(s.ops)
    else if (s.step === 'cut') await this.#cut()
    else if (s.step === 'settle') await this.#writing
    else if (s.step === 'snapshot') this.#pin()
    else if (s.step === 'reopen') await this.#reopen()
    else await this.#crash(s.back)
  }

  async check(): Promise<void> {
    await this.#checkPinned()
    // A dump reads the backend first and memory then: what is written in between is in neither.
    await this.#writing
    expect(await this.#dump()).toEqual(this.#twin.dump())
    await this.#reopen()
  }

  async close(): Promise<void> {
    await this.#writing.catch(() => {})
    for (const { snapshot } of this.#pinned) snapshot.release()
    await this.#state.close()
  }

  /** The next slices compute while a cut is written (T1); the snapshot follows its write (T2). */
  async #cut(): Promise<void> {
    await this.#writing
    const cut = this.#state.cut()
    const twin = this.#twin.copy()
    this.#writing = this.#state.write(cut, `commit ${cut.number}`).then(() => {
      this.#state.publishSnapshot(cut)
      this.#commits.push(twin)
    })
  }

  #pin(): void {
    if (this.#pinned.length > 5) return
    this.#pinned.push({ snapshot: this.#state.acquireSnapshot(), twin: this.#commits.at(-1)! })
  }

  async #checkPinned(): Promise<void> {
    for (const { snapshot, twin } of this.#pinned) {
      const found: [string, number][] = []
      for await (const [b, key, { n }] of snapshot.scan<{ n: number }>('values', -10, 10))
        found.push([JSON.stringify([b, key]), n])
      expect(new Map(found)).toEqual(twin.values)
      const order = found.map(([at]) => JSON.parse(at) as [number, string])
      expect(order).toEqual(
        order.toSorted((a, b) => a[0] - b[0] || Buffer.compare(Buffer.from(a[1]), Buffer.from(b[1]))),
      )
      const all = [0, 1, 2, 3, 4, 5].flatMap((b) => KEYS.map((key) => [b, key] as const))
      const values = await snapshot.multiGet<{ n: number }>('values', all)
      expect(values.map((v) => v?.n)).toEqual(all.map((at) => twin.values.get(JSON.stringify(at))))
      snapshot.release()
    }
    this.#pinned = []
  }

  async #reopen(): Promise<void> {
    await this.#checkPinned()
    await this.#cut()
    await this.#writing
    await this.#state.close()
    await this.#openAt(this.#twin)
  }

  async #crash(back: number): Promise<void> {
    await this.#writing
    for (const { snapshot } of this.#pinned) snapshot.release()
    this.#pinned = []
    const left = this.#place.crash!(back)
    this.#commits.length = left + 1
    await this.#openAt(this.#commits.at(-1)!.copy())
  }

  async #openAt(twin: Twin): Promise<void> {
    this.#twin = twin
    this.#state = await TaskState.open(await this.#place.open(), SPECS, this.#options)
    expect(this.#state.meta).toBe(this.#commits.length === 1 ? null : `commit ${this.#commits.length - 1}`)
    expect(await this.#dump()).toEqual(twin.dump())
  }

  async #dump(): Promise<string[]> {
    const lines: string[] = []
    for await (const line of this.#state.dump()) lines.push(line)
    return lines
  }

  async #slice(ops: readonly Op[]): Promise<void> {
    const values = this.#state.keyed<{ n: number }>('values')
    const ids = this.#state.seen('ids')
    for (const o of ops) {
      if ('key' in o) values.want(o.bucket, KEYS[o.key]!)
      if (o.op === 'seen') ids.want(USERS[o.user]!, 'page_view', `id${o.id}`, o.timeMs, o.horizonMs)
    }
    const loading = this.#state.prefetch()
    if (loading !== null) await loading
    for (const o of ops) await this.#apply(o)
  }

  async #apply(o: Op): Promise<void> {
    if ('key' in o) this.#value(o.op, o.bucket, KEYS[o.key]!)
    else if (o.op === 'seen') this.#seen(o)
    else if (o.op === 'push') this.#push(o)
    else if (o.op === 'pop') await this.#pop(o.count)
    else this.#expire(o.op, o.bucket)
  }

  #value(what: 'get' | 'set' | 'delete' | 'change', b: number, key: string): void {
    const store = this.#state.keyed<{ n: number }>('values')
    const at = JSON.stringify([b, key])
    const known = this.#twin.values.get(at)
    expect(store.get(b, key)?.n).toBe(known)
    if (b < this.#twin.lowestValues) return
    if (what === 'set') {
      store.set(b, key, { n: 1 })
      this.#twin.values.set(at, 1)
    } else if (what === 'delete') {
      store.delete(b, key)
      this.#twin.values.delete(at)
    } else if (what === 'change' && known !== undefined) {
      store.get(b, key)!.n = known + 1
      store.changed(b, key)
      this.#twin.values.set(at, known + 1)
    }
  }

  #seen(o: Extract<Op, { op: 'seen' }>): void {
    const store = this.#state.seen('ids')
    const user = USERS[o.user]!
    const id = `id${o.id}`
    const known = this.#twin.ids.some(
      (e) => e.user === user && e.id === id && Math.abs(e.timeMs - o.timeMs) <= o.horizonMs,
    )
    expect(store.has(user, 'page_view', id, o.timeMs, o.horizonMs)).toBe(known)
    if (!o.add) return
    const notBeforeMs = Math.max(o.late ? 5 * BUCKET_MS : -1, this.#twin.lowestIds * BUCKET_MS)
    store.add(user, 'page_view', id, o.timeMs, notBeforeMs)
    this.#twin.ids.push({ user, id, timeMs: o.timeMs, bucket: Math.floor(Math.max(o.timeMs, notBeforeMs) / BUCKET_MS) })
  }

  #push(o: Extract<Op, { op: 'push' }>): void {
    const number = this.#twin.pushed++
    const key = { at: o.at, rank: o.rank, type: KEYS[o.type]!, id: `id${number % 3}`, number }
    const value = JSON.stringify({ number, text: 'ä'.repeat(number % 4) })
    this.#state.queue('held').push(key, value)
    this.#twin.held.push({ key, value })
    this.#twin.held.sort((a, b) => Buffer.compare(orderBytes(a.key), orderBytes(b.key)))
  }

  async #pop(count: number): Promise<void> {
    const queue = this.#state.queue('held')
    for (let i = 0; i < count; i++) {
      if (queue.needsRefill) await queue.refill()
      expect(queue.length).toBe(this.#twin.held.length)
      const head = queue.peek()
      const expected = this.#twin.held.shift() ?? null
      expect(head && { key: head.key, value: head.value }).toEqual(expected)
      if (head === null) return
      expect(queue.pop()).toBe(head)
    }
  }

  #expire(what: 'expireValues' | 'expireIds', b: number): void {
    const twin = this.#twin
    if (what === 'expireValues') {
      this.#state.keyed('values').expireBelow(b)
      twin.lowestValues = Math.max(twin.lowestValues, b)
      for (const at of [...twin.values.keys()]) if ((JSON.parse(at) as [number])[0] < b) twin.values.delete(at)
    } else {
      this.#state.seen('ids').expireBelow(b)
      twin.lowestIds = Math.max(twin.lowestIds, b)
      twin.ids = twin.ids.filter((e) => e.bucket >= b)
    }
  }
}
