// The broker under kill -9 and under restored backups, with real clients: what was acknowledged is there, once, in order;
// and a reader that stays connected halts when the broker comes back with less than it had.
// B1: a writer believes only positive acks; after anything else it reads its subject's last message and decides.
// B2: what is compared at the end is what is stored, read again by a fresh reader, against what was acknowledged.
// B3: a kill counts only if it struck while publishes were under way; others are done again (at most as many).
// By hand: node test/kill/broker.ts --kills 50 --restores 20 --seed 1

import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { assert, HoldfastError } from '../../log/errors.ts'
import {
  type Log,
  type LogMessage,
  type LogReader,
  LogUnavailable,
  type ReadFrom,
  type StreamSpec,
} from '../../log/log.ts'
import { SimRandom } from '../../log/sim.ts'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'

export interface KillReport {
  /** All of them. */
  readonly kills: number
  /** Those that made at least one publish unknown. */
  readonly killsUnderLoad: number
  readonly acknowledged: number
  /** Publishes whose outcome was unknown, and of those the ones that had landed. */
  readonly unknown: number
  readonly unknownLanded: number
  readonly lost: number
  readonly duplicated: number
  readonly outOfOrder: number
  /** What the reader that stayed connected missed, saw twice or saw in another order. */
  readonly readerErrors: number
  /** Milliseconds from each kill to the next acknowledged publish. */
  readonly backMs: readonly number[]
}

export interface RestoreReport {
  readonly restores: number
  readonly halted: number
  /** Messages handed out after the restore: each would be a wrong one. */
  readonly handedOut: number
  /** Rounds in which others filled the lost sequences up again before the reader could compare. */
  readonly refilled: number
}

const START: ReadFrom = { seq: 0, digest: '', created: '' }
const WRITERS = 4
const FRAME_RECORDS = 20
/** Milliseconds from when the load runs again to the next kill. */
const KILL_AFTER_MS_MAX = 350
const READ_MS = 500
const HALT_MS = 30_000
const SPEC: StreamSpec = { name: 'kill', subjects: ['kill.>'], maxBytes: 1e9, replicas: 1, maxAgeMs: 0, atomic: true }

/** Kills the broker until `kills` of them struck a load of compare-and-set frames, and compares what is left with what was promised. */
export async function killBroker(options: { kills: number; seed: number }): Promise<KillReport> {
  const harness = await natsHarness({ requestTimeoutMs: 2_000, syncAlways: true })
  const log = await harness.connect()
  try {
    await log.ensureStream(SPEC)
    const load = new Load(await connections(harness, WRITERS))
    const watching = watch(await harness.connect())
    const backMs: number[] = []
    let killsUnderLoad = 0
    const random = new SimRandom(options.seed)
    while (killsUnderLoad < options.kills && backMs.length < 2 * options.kills) {
      await load.goesOn(WRITERS * 5)
      await sleep(random.below(KILL_AFTER_MS_MAX))
      const before = load.unknown
      const struck = performance.now()
      await harness.restart()
      await load.goesOn(1)
      backMs.push(Math.round(performance.now() - struck))
      if (load.unknown > before) killsUnderLoad++
    }
    await load.stop()
    const stored = await everything(log)
    const seen = await watching(stored.length)
    return {
      kills: options.kills,
      killsUnderLoad,
      backMs,
      ...load.compare(stored),
      readerErrors: differences(stored, seen),
    }
  } finally {
    await log.close()
    await harness.close()
  }
}

/** Puts an older copy of the store back under a connected reader, again and again. */
export async function restoreOlderCopies(options: { restores: number; seed: number }): Promise<RestoreReport> {
  const random = new SimRandom(options.seed)
  let halted = 0
  let handedOut = 0
  let refilled = 0
  for (let i = 0; i < options.restores; i++) {
    // Every other time somebody writes on before the reader is back, so that the lost sequences exist again with other content.
    const refill = i % 2 === 1
    const round = await restoreOnce(1 + random.below(20), refill)
    if (round.halted) halted++
    handedOut += round.handedOut
    if (refill) refilled++
  }
  return { restores: options.restores, halted, handedOut, refilled }
}

async function restoreOnce(lost: number, refill: boolean): Promise<{ halted: boolean; handedOut: number }> {
  const harness = await natsHarness()
  const log = await harness.connect()
  try {
    await log.ensureStream(SPEC)
    await appendSome(log, 30, 'kept')
    const reader = await log.read(SPEC.name, START)
    await readCount(reader, 30)
    const putBack = await harness.backup()
    await appendSome(log, lost, 'lost')
    await readCount(reader, lost)
    await putBack(refill ? (other) => appendSome(other, lost + 5, 'instead') : undefined)
    return await untilHalt(reader)
  } finally {
    await log.close()
    await harness.close()
  }
}

/** Writers that publish chained frames without a pause, and know what was acknowledged. */
class Load {
  /** By subject: the text of the frame at each acknowledged sequence. */
  readonly #promised = new Map<number, string>()
  readonly #running: Promise<void>[]
  #stopping = false
  acknowledged = 0
  unknown = 0
  unknownLanded = 0

  constructor(logs: readonly Log[]) {
    this.#running = logs.map((log, i) => this.#write(log, `${SPEC.name}.w${i}`))
  }

  /** Settles after `count` more acknowledged publishes. */
  async goesOn(count: number): Promise<void> {
    const wanted = this.acknowledged + count
    while (this.acknowledged < wanted) await sleep(2)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
  }

  compare(stored: readonly LogMessage[]) {
    const bySeq = new Map(stored.map((m) => [m.seq, textOf(m)]))
    const lost = [...this.#promised].filter(([seq, text]) => bySeq.get(seq) !== text).length
    const texts = new Map<string, number[]>()
    for (const m of stored) texts.set(m.subject, [...(texts.get(m.subject) ?? []), frameNumber(textOf(m))])
    let duplicated = 0
    let outOfOrder = 0
    for (const numbers of texts.values()) {
      duplicated += numbers.length - new Set(numbers).size
      outOfOrder += numbers.filter((n, i) => n !== i).length
    }
    const { acknowledged, unknown, unknownLanded } = this
    return { acknowledged, unknown, unknownLanded, lost, duplicated, outOfOrder }
  }

  async #write(log: Log, subject: string): Promise<void> {
    let last = 0
    for (let number = 0; !this.#stopping; number++) last = await this.#publish(log, subject, frameText(number), last)
    await log.close()
  }

  /** Until it is stored, whatever it takes; the sequence. */
  async #publish(log: Log, subject: string, text: string, last: number): Promise<number> {
    while (true) {
      const result = await log.publish({ subject, headers: null, payload: Buffer.from(text) }, { lastSubjectSeq: last })
      if (result.kind === 'stored') return this.#keep(result.seq, text)
      if (result.kind === 'unknown') this.unknown++
      const there = await insist(() => log.lastOnSubject(SPEC.name, subject))
      if (there !== null && textOf(there) === text) {
        this.unknownLanded++
        return this.#keep(there.seq, text)
      }
      assert((there?.seq ?? 0) === last, 'nobody else writes on this subject, and nothing acknowledged is gone')
    }
  }

  #keep(seq: number, text: string): number {
    this.acknowledged++
    this.#promised.set(seq, text)
    return seq
  }
}

function frameText(number: number): string {
  return JSON.stringify(Array.from({ length: FRAME_RECORDS }, (_, i) => ({ frame: number, i, user: `u${i}` })))
}

function frameNumber(text: string): number {
  return (JSON.parse(text) as { frame: number }[])[0]!.frame
}

function textOf(m: LogMessage): string {
  return Buffer.from(m.payload).toString()
}

function connections(harness: NatsHarness, count: number): Promise<Log[]> {
  return Promise.all(Array.from({ length: count }, () => harness.connect()))
}

/** A reader that stays connected through everything; the result reads on until it has `count` messages. */
function watch(log: Log): (count: number) => Promise<LogMessage[]> {
  const messages: LogMessage[] = []
  let wanted = Number.MAX_SAFE_INTEGER
  const reading = (async () => {
    const reader = await log.read(SPEC.name, START)
    for (let idle = 0; messages.length < wanted && idle < HALT_MS / READ_MS; ) {
      const more = await reader.next(READ_MS)
      idle = more.length > 0 ? 0 : idle + 1
      messages.push(...more)
    }
    await log.close()
    return messages
  })()
  return (count) => {
    wanted = count
    return reading
  }
}

function differences(stored: readonly LogMessage[], seen: readonly LogMessage[]): number {
  const count = Math.max(stored.length, seen.length)
  let different = 0
  for (let i = 0; i < count; i++) {
    const [a, b] = [stored[i], seen[i]]
    if (a === undefined || b === undefined || a.seq !== b.seq || textOf(a) !== textOf(b)) different++
  }
  return different
}

async function everything(log: Log): Promise<LogMessage[]> {
  const { lastSeq } = (await insist(() => log.streamState(SPEC.name)))!
  const reader = await insist(() => log.read(SPEC.name, START))
  const messages = await readCount(reader, lastSeq)
  await reader.stop()
  return messages
}

async function appendSome(log: Log, count: number, text: string): Promise<void> {
  for (let i = 0; i < count; ) {
    const payload = Buffer.from(`${text} ${i}`)
    const result = await log.publish({ subject: `${SPEC.name}.a`, headers: null, payload }, null)
    if (result.kind === 'stored') i++
    else await sleep(5)
  }
}

async function readCount(reader: LogReader, count: number): Promise<LogMessage[]> {
  const messages: LogMessage[] = []
  while (messages.length < count) {
    const more = await reader.next(HALT_MS)
    assert(more.length > 0, `${count} messages come within the time`)
    messages.push(...more)
  }
  return messages
}

async function untilHalt(reader: LogReader): Promise<{ halted: boolean; handedOut: number }> {
  let handedOut = 0
  for (let waited = 0; waited < HALT_MS; waited += READ_MS) {
    try {
      handedOut += (await reader.next(READ_MS)).length
    } catch (error) {
      return { halted: error instanceof HoldfastError && error.code === 'LOG_WENT_BACK', handedOut }
    }
  }
  return { halted: false, handedOut }
}

async function insist<T>(ask: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof LogUnavailable)) throw error
      await sleep(20)
    }
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '50' },
      restores: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
    },
  })
  const seed = Number(values.seed)
  const { backMs, ...killed } = await killBroker({ kills: Number(values.kills), seed })
  const sorted = backMs.toSorted((a, b) => a - b)
  const back = { backP50Ms: sorted[sorted.length >> 1], backMaxMs: sorted.at(-1) }
  const restored = await restoreOlderCopies({ restores: Number(values.restores), seed })
  console.log(JSON.stringify({ seed, killed: { ...killed, ...back }, restored }, null, 2))
  const wrong = killed.lost + killed.duplicated + killed.outOfOrder + killed.readerErrors + restored.handedOut
  process.exitCode = wrong === 0 && restored.halted === restored.restores ? 0 : 1
}
