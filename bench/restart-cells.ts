// The restart part seen from bench/main.ts: a state of N keyed values and N seen ids, built through the real graph; then a new
// process on it. The program of those processes is restart.ts; the server stays up meanwhile.
// RS1: every event has a user of its own, so N events make N keyed values (page views by user) and N seen ids, and all lie
//      within the hour that the windows hold; restart.ts checks that none was refused, repeated or expired.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ChildOptions, runChild } from './child.ts'
import { benchPlan } from './plan.ts'
import { type Broker, openBroker, publishLines } from './stream.ts'

export interface RestartTask {
  readonly phase: 'build' | 'restart'
  readonly url: string
  readonly serverPid: number
  readonly stateDir: string
  readonly threads: number
  /** Events that are in the state when the process starts. */
  readonly eventsBefore: number
  /** Events in the stream, those included. */
  readonly events: number
  /** When the parent made the process, milliseconds since 1970. */
  readonly startedAtMs: number
}

export interface RestartSample {
  /** From the start of the process to the first record that is applied. */
  readonly firstRecordSeconds: number
  /** CPU of the whole process by then. */
  readonly firstRecordCpuSeconds: number
  /** From then to the last commit. */
  readonly restSeconds: number
  readonly cpuSeconds: number
  readonly serverCpuSeconds: number
  readonly rssMiB: number
  readonly rssMaxMiB: number
  /** Of the calling thread. */
  readonly heapUsedMiB: number
}

export interface RestartCell {
  readonly keys: number
  readonly threads: number
  readonly eventsAfter: number
  readonly build: RestartSample
  readonly restart: RestartSample
}

export interface RestartOptions extends ChildOptions {
  readonly keys: readonly number[]
  readonly eventsAfter: number
  readonly threads: number
  readonly directory: string
}

const PROGRAM = new URL(import.meta.resolve('./restart.ts'))
const FRAME_EVENTS = 100
const START_MS = Date.UTC(2026, 0, 1)
/** Together within an hour: RS1. */
const BUILD_SPAN_MS = 50 * 60_000
const AFTER_SPAN_MS = 5 * 60_000
const PAGES = 2_000
/** Knuth's multiplier: spreads what is numbered one after the other over the whole key space. */
const STRIDE = 2_654_435_761

export async function restartCells({ keys, ...options }: RestartOptions): Promise<RestartCell[]> {
  const cells: RestartCell[] = []
  for (const count of keys) cells.push(await cellOf(count, options))
  return cells
}

async function cellOf(keys: number, o: Omit<RestartOptions, 'keys'>): Promise<RestartCell> {
  const directory = join(o.directory, `restart-${keys}`)
  const natsDir = join(directory, 'nats')
  const say = (line: string): void => o.say(`restart with ${keys.toLocaleString('en-US')} keys: ${line}`)
  try {
    await fill(natsDir, keys, keys + o.eventsAfter, o.signal)
    say('filled')
    const broker = await openBroker(natsDir, benchPlan(1), { events: keys + o.eventsAfter, durable: true })
    try {
      const run = (task: Pick<RestartTask, 'phase' | 'eventsBefore' | 'events'>): Promise<RestartSample> =>
        runChild(PROGRAM, { ...task, threads: o.threads, ...placeOf(broker, directory) } satisfies RestartTask, {
          ...o,
          say,
        })
      const build = await run({ phase: 'build', eventsBefore: 0, events: keys })
      say(`built in ${(build.firstRecordSeconds + build.restSeconds).toFixed(1)} s`)
      const events = keys + o.eventsAfter
      await publishLines(broker.log, benchPlan(1), {
        lines: afterLines(keys, o.eventsAfter),
        perMessage: FRAME_EVENTS,
        signal: o.signal,
      })
      const restart = await run({ phase: 'restart', eventsBefore: keys, events })
      say(`first record after ${restart.firstRecordSeconds.toFixed(2)} s, RSS ${restart.rssMiB.toFixed(0)} MiB`)
      return { keys, threads: o.threads, eventsAfter: o.eventsAfter, build, restart }
    } finally {
      await broker.close()
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function placeOf(
  { url, pid }: Broker,
  directory: string,
): Omit<RestartTask, 'phase' | 'threads' | 'eventsBefore' | 'events'> {
  return { url, serverPid: pid, stateDir: join(directory, 'state'), startedAtMs: Date.now() }
}

async function fill(natsDir: string, keys: number, events: number, signal: AbortSignal): Promise<void> {
  const broker = await openBroker(natsDir, benchPlan(1), { events, durable: false })
  try {
    await publishLines(broker.log, benchPlan(1), { lines: keyLines(keys), perMessage: FRAME_EVENTS, signal })
  } finally {
    await broker.close()
  }
}

/** A page view by each of `keys` users. */
function* keyLines(keys: number): Generator<string> {
  for (let i = 0; i < keys; i++) yield pageView(`k${i}`, START_MS + (i * BUILD_SPAN_MS) / keys, i)
}

/** Further page views by the same users, in an order that has nothing to do with that of their first. */
function* afterLines(keys: number, count: number): Generator<string> {
  for (let i = 0; i < count; i++) {
    const user = Number((BigInt(i + 1) * BigInt(STRIDE)) % BigInt(keys))
    yield pageView(`a${i}`, START_MS + BUILD_SPAN_MS + (i * AFTER_SPAN_MS) / count, user)
  }
}

function pageView(id: string, timeMs: number, number: number): string {
  const user = (number * STRIDE) % 2 ** 32
  return (
    `{"type":"page_view","event_id":"${id}","event_time":${Math.floor(timeMs)},"advertiser_id":"shop",` +
    `"user_id":"u${user.toString(16).padStart(8, '0')}${number.toString(16)}","page_id":"/products/${number % PAGES}"}`
  )
}
