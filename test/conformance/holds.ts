// What every store of holds must do: whatever the slices, commits, restarts and crashes, it answers as a naive list does that is
// searched from end to end (HoldStore of state/store.ts, S3).
// Run by state/hold-store.test.ts on the strict list of the operators' tests, on memory and on RocksDB.

import fc from 'fast-check'
import { expect } from 'vitest'
import type { Codec, HoldEntry, HoldStore } from '../../state/store.ts'

export const HOLD_BUCKET_MS = 10_000
/** Entries of one read: few, so that random programs reach it. */
export const HOLD_READ_MAX = 3

const GROUPS = ['g', 'gg', 'g\u001fa', 'ü', '\u{10000}', '\uffff']
const IDS = ['', 'a', 'ab', '\uffff', '\u{1f600}']
const BUCKETS = 6

export interface HeldValue {
  readonly n: number
}

export const heldCodec: Codec<HeldValue> = {
  encode: ({ n }) => Buffer.from(String(n)),
  decode: (bytes) => ({ n: Number(Buffer.from(bytes).toString()) }),
}

/** A store and what makes it last, as the suite needs them. Reads bring HOLD_READ_MAX entries. */
export interface HoldTier {
  readonly store: HoldStore<HeldValue>
  /** Between want and get. */
  prefetch(): Promise<void>
  /** Takes a commit, which is written while the next slices compute; gives its end. */
  commit(): Promise<void>
  /** Ends the process and begins another; everything is written. */
  restart(): Promise<void>
  /** Kills the process; its last commits, at most this many, are lost. Gives how many are left. null: this tier cannot. */
  readonly crash: ((lost: number) => Promise<number>) | null
  /** What readers see of the last commit that was written, however much it is. null: this tier has no readers. */
  readonly read: ((group: string, fromMs: number, toMs: number) => Promise<readonly HoldEntry<HeldValue>[]>) | null
  /** Reads that left something out, since the tier was opened. */
  leftOut(): number
  /** The whole content, sorted. */
  dump(): Promise<readonly string[]>
  close(): Promise<void>
}

type Op =
  | {
      readonly op: 'put'
      readonly group: number
      readonly timeMs: number
      readonly id: number
      readonly lateBy: number
    }
  | { readonly op: 'get'; readonly group: number; readonly fromMs: number; readonly lengthMs: number }
  | { readonly op: 'expire'; readonly bucket: number }

type Step =
  | { readonly step: 'slice'; readonly ops: readonly Op[] }
  | { readonly step: 'commit' | 'settle' | 'restart' | 'crash' | 'read'; readonly back: number }

const timeMs = fc.oneof(
  fc.integer({ min: 0, max: BUCKETS * HOLD_BUCKET_MS }),
  fc.nat(BUCKETS).map((n) => n * HOLD_BUCKET_MS),
)
const group = fc.nat(GROUPS.length - 1)
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('put' as const),
      group,
      timeMs,
      id: fc.nat(IDS.length - 1),
      lateBy: fc.constantFrom(0, 0, 1, HOLD_BUCKET_MS, 3 * HOLD_BUCKET_MS),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('get' as const),
      group,
      fromMs: timeMs.map((at) => at - HOLD_BUCKET_MS),
      lengthMs: fc.constantFrom(0, 1, HOLD_BUCKET_MS, BUCKETS * HOLD_BUCKET_MS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('expire' as const), bucket: fc.nat(BUCKETS) }) },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ step: fc.constant('slice' as const), ops: fc.array(op, { minLength: 1, maxLength: 12 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      step: fc.constantFrom('commit', 'commit', 'settle', 'restart', 'crash', 'read') as fc.Arbitrary<'commit'>,
      back: fc.nat(2),
    }),
  },
)

interface Listed {
  readonly bucket: number
  readonly group: string
  readonly timeMs: number
  readonly id: string
  readonly n: number
}

/** The list. Holds of one (bucket, group, time, id) replace each other. */
class NaiveList {
  lowest = Number.NEGATIVE_INFINITY
  entries: readonly Listed[] = []

  copy(): NaiveList {
    const copy = new NaiveList()
    copy.lowest = this.lowest
    copy.entries = this.entries
    return copy
  }

  put(added: Listed): void {
    const isOther = (held: Listed): boolean => JSON.stringify({ ...held, n: 0 }) !== JSON.stringify({ ...added, n: 0 })
    this.entries = [...this.entries.filter(isOther), added]
  }

  expireBelow(bucket: number): void {
    this.lowest = Math.max(this.lowest, bucket)
    this.entries = this.entries.filter((held) => held.bucket >= this.lowest)
  }

  get(group: string, fromMs: number, toMs: number): HoldEntry<HeldValue>[] {
    const inRange = this.entries.filter((held) => held.group === group && held.timeMs >= fromMs && held.timeMs <= toMs)
    const isHighest = ({ bucket, timeMs: at, id }: Listed): boolean =>
      !inRange.some((held) => held.timeMs === at && held.id === id && held.bucket > bucket)
    return inRange
      .filter(isHighest)
      .sort((a, b) => a.timeMs - b.timeMs || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)))
      .map(({ timeMs: at, id, n }) => ({ timeMs: at, id, value: { n } }))
  }
}

/** Plays random programs on a tier and the list. */
export async function holdsConformance(open: () => Promise<HoldTier>, numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (program) => {
      const run = new Run(await open())
      try {
        for (const s of program) await run.play(s)
        await run.play({ step: 'restart', back: 0 })
        await run.play({ step: 'read', back: 0 })
      } finally {
        await run.close()
      }
    }),
    { numRuns },
  )
}

class Run {
  readonly #tier: HoldTier
  #list = new NaiveList()
  /** The list as of each commit that was written, the empty one first. */
  #commits: NaiveList[] = [new NaiveList()]
  #writing: Promise<void> = Promise.resolve()
  #puts = 0
  #leftOut = 0

  constructor(tier: HoldTier) {
    this.#tier = tier
  }

  async play(s: Step): Promise<void> {
    if (s.step === 'slice') await this.#slice(s.ops)
    else if (s.step === 'commit') await this.#commit()
    else if (s.step === 'settle') await this.#writing
    else if (s.step === 'restart') await this.#restart()
    else if (s.step === 'crash') await this.#crash(s.back)
    else await this.#read()
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#tier.close()
  }

  async #commit(): Promise<void> {
    await this.#writing
    const list = this.#list.copy()
    this.#writing = this.#tier.commit().then(() => {
      this.#commits.push(list)
    })
  }

  async #restart(): Promise<void> {
    await this.#commit()
    await this.#writing
    const before = await this.#tier.dump()
    expect(before.length).toBe(this.#list.entries.length)
    await this.#tier.restart()
    expect(await this.#tier.dump()).toEqual(before)
  }

  async #crash(lost: number): Promise<void> {
    if (this.#tier.crash === null) return
    await this.#writing
    this.#commits.length = 1 + (await this.#tier.crash(lost))
    this.#list = this.#commits.at(-1)!.copy()
    expect((await this.#tier.dump()).length).toBe(this.#list.entries.length)
  }

  /** Readers see the last commit that was written. */
  async #read(): Promise<void> {
    const { read } = this.#tier
    if (read === null) return
    await this.#writing
    const list = this.#commits.at(-1)!
    for (const name of GROUPS) {
      for (const [fromMs, toMs] of [[0, 100 * HOLD_BUCKET_MS] as const, [15_000, 25_000] as const])
        expect(await read(name, fromMs, toMs)).toEqual(list.get(name, fromMs, toMs))
    }
  }

  /** What expires ends a slice; the rest of the operations is another one. */
  async #slice(ops: readonly Op[]): Promise<void> {
    const end = ops.findIndex((o) => o.op === 'expire')
    const slice = end === -1 ? ops : ops.slice(0, end)
    const { store } = this.#tier
    for (const o of slice) if (o.op === 'get') store.want(GROUPS[o.group]!, o.fromMs, o.fromMs + o.lengthMs)
    await this.#tier.prefetch()
    for (const o of slice) {
      if (o.op === 'put') this.#put(o)
      else if (o.op === 'get') this.#get(GROUPS[o.group]!, o.fromMs, o.fromMs + o.lengthMs)
    }
    if (end === -1) return
    const { bucket } = ops[end] as Extract<Op, { op: 'expire' }>
    store.expireBelow(bucket)
    this.#list.expireBelow(bucket)
    await this.#slice(ops.slice(end + 1))
  }

  #put(o: Extract<Op, { op: 'put' }>): void {
    const [name, id, n] = [GROUPS[o.group]!, IDS[o.id]!, this.#puts++]
    const keptFromMs = Math.max(o.timeMs + o.lateBy, this.#list.lowest * HOLD_BUCKET_MS)
    const bucket = Math.floor(Math.max(o.timeMs, keptFromMs) / HOLD_BUCKET_MS)
    expect(this.#tier.store.bucketOf(Math.max(o.timeMs, keptFromMs))).toBe(bucket)
    this.#tier.store.put(name, o.timeMs, id, { n }, keptFromMs)
    this.#list.put({ bucket, group: name, timeMs: o.timeMs, id, n })
  }

  #get(name: string, fromMs: number, toMs: number): void {
    const all = this.#list.get(name, fromMs, toMs)
    expect(this.#tier.store.get(name, fromMs, toMs)).toEqual(all.slice(-HOLD_READ_MAX))
    if (all.length > HOLD_READ_MAX) this.#leftOut++
    expect(this.#tier.leftOut()).toBe(this.#leftOut)
  }
}
