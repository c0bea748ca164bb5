// Recomputes what `npm start` showed last (last-shown.json in its data directory) from the input streams of its log, with the
// oracle's own reading of the contract:
//
//     node test/oracle/shown.ts --data-dir .holdfast/start
//
// Prints `shown: N numbers, 0 differences` and exits 0, or the differences and exits 1; a log that was trimmed cannot be
// recomputed: exit 2, as for bad arguments. Of the project it uses what opens the log and reads messages, nothing else.
//
// How contract.md is read for `clock: wall`, beyond what recompute.ts says:
//  1. Log order is the order. W begins at none; after each valid event it is at least event_time - lateness, and after a tick
//     at least the tick's broker time - lateness. Late: event_time at or below the W before it.
//  2. An event more than 10 minutes ahead of its message's broker time is a dead letter.
//  3. A message is one JSON object, or an array of them; elements are judged one by one.
//  4. A conversion that carries a click_id is accepted, or a duplicate, once W has passed its event_time + grace. When the last view was made,
//     those whose time had just come may have been counted or not: what depends on them is a range.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { LogMessage } from '../../log/log.ts'
import { connectLog, type NatsLog } from '../../log/nats-log.ts'
import { startNatsServer } from '../../log/nats-supervisor.ts'
import { judge } from './judge.ts'
import { pageViewsLastHour } from './recompute.ts'
import { DEFAULTS, type Record as Judged, userOf, withoutDuplicates } from './records.ts'

const FUTURE_MS = 600_000
/** How far behind the last W of the log the stages may have been when the last view was made. */
const BEHIND_MS = 3_000
const READ_WAIT_MS = 1_000
const SOURCE_STAGE = 'user-1'
const PLAIN = /\.in$/

interface Shown {
  readonly namespace: string
  readonly partitions: number
  readonly lateness_ms: number
  readonly grace_ms: number
  readonly events: Readonly<Record<string, number>>
  readonly tops: readonly {
    readonly feature: string
    readonly entity: string
    readonly values: readonly { readonly key: string; readonly value: number; readonly at: number }[]
  }[]
}

/** The log no longer holds everything that was counted. */
class Trimmed extends Error {}

/** What became of the events of one partition. */
interface Partition {
  readonly records: readonly Judged[]
  readonly deadLetters: number
  /** After the last message. */
  readonly watermarkMs: number
}

/** Judges a partition's messages in their order. */
export function judgeMessages(messages: readonly LogMessage[], latenessMs: number): Partition {
  const records: Judged[] = []
  let deadLetters = 0
  let watermarkMs = -1
  for (const { subject, payload, timeMs } of messages) {
    if (!PLAIN.test(subject)) {
      watermarkMs = Math.max(watermarkMs, timeMs - latenessMs)
      continue
    }
    for (const bytes of eventsIn(payload)) {
      const judged = judge({ number: records.length, bytes }, DEFAULTS.anonymous)
      if ('dead' in judged || judged.event.eventTimeMs > timeMs + FUTURE_MS) {
        deadLetters++
        continue
      }
      const { event } = judged
      const isLate = event.eventTimeMs <= watermarkMs
      records.push({ event, user: userOf(event), watermarkMs, atMs: event.eventTimeMs, isLate })
      watermarkMs = Math.max(watermarkMs, event.eventTimeMs - latenessMs)
    }
  }
  return { records, deadLetters, watermarkMs }
}

function eventsIn(payload: Uint8Array): Buffer[] {
  const bytes = Buffer.from(payload)
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    if (Array.isArray(value)) return value.map((element) => Buffer.from(JSON.stringify(element)))
  } catch {
    // No JSON: one event that is none.
  }
  return [bytes]
}

/** One text for each number that is another one than the input says; and how many numbers there were. */
export function differencesIn(shown: Shown, partitions: readonly Partition[]): { numbers: number; wrong: string[] } {
  const judged = partitions.flatMap(({ records }) => records)
  const accepted = withoutDuplicates(judged, DEFAULTS)
  const isPurchase = ({ event }: Judged) => event.type === 'conversion' && !event.isRefund
  const countsOf = (records: readonly Judged[]): Readonly<Record<string, number>> => {
    const fresh = withoutDuplicates(records, DEFAULTS)
    return {
      accepted: fresh.length,
      conversions: fresh.filter(isPurchase).length,
      duplicates: records.length - fresh.length,
      dead_letters: partitions.reduce((sum, { deadLetters }) => sum + deadLetters, 0),
      late: judged.filter(({ isLate }) => isLate).length,
    }
  }
  const passedMs = Math.min(...partitions.map(({ watermarkMs }) => watermarkMs)) - BEHIND_MS
  const mayWait = ({ event, isLate }: Judged) =>
    event.type === 'conversion' && event.clickId !== null && !isLate && event.eventTimeMs + shown.grace_ms > passedMs
  const [least, most] = [countsOf(judged.filter((record) => !mayWait(record))), countsOf(judged)]
  const wrong: string[] = []
  let numbers = 0
  const compare = (what: string, is: number | undefined, should: number, orMore = should) => {
    numbers++
    const range = should === orMore ? `${should}` : `${should} to ${orMore}`
    if (is === undefined || is < should || is > orMore) wrong.push(`${what}: shown ${is}, the log says ${range}`)
  }
  for (const [name, should] of Object.entries(least)) compare(name, shown.events[name], should, most[name])
  for (const { feature, entity, values } of shown.tops) {
    const counts = new Map<number, Map<string, number>>()
    for (const { key, value, at } of values) {
      const known = counts.get(at) ?? countsAt(accepted, feature, entity, at)
      counts.set(at, known)
      compare(`${feature} of ${entity} ${key} at ${at}`, value, known.get(key) ?? 0)
    }
    for (const missing of missingIn(values, counts)) wrong.push(`${feature} of ${entity} ${missing}: not shown`)
  }
  return { numbers, wrong }
}

function countsAt(accepted: readonly Judged[], feature: string, entity: string, at: number): Map<string, number> {
  const rows = pageViewsLastHour(
    accepted.map(({ event }) => event),
    at,
  ).filter((row) => row.feature === feature && row.entity === entity)
  return new Map(rows.map(({ key, value }) => [key, value]))
}

/** Keys that are larger than the last one shown, at every time that is shown, and are not in the list. */
function missingIn(
  values: Shown['tops'][number]['values'],
  counts: ReadonlyMap<number, ReadonlyMap<string, number>>,
): string[] {
  const least = values.at(-1)?.value ?? 0
  const shown = new Set(values.map(({ key }) => key))
  const [first, ...others] = [...counts.values()]
  return [...(first ?? [])].flatMap(([key, value]) => {
    const isLarger = value > least && others.every((other) => (other.get(key) ?? 0) > least)
    return isLarger && !shown.has(key) ? [`${key} with ${value}`] : []
  })
}

async function readStream(log: NatsLog, stream: string): Promise<LogMessage[]> {
  const state = await log.streamState(stream)
  if (state === null) throw new Error(`there is no stream ${stream}`)
  if (state.firstSeq > 1)
    throw new Trimmed(
      `${stream} was trimmed: its first ${state.firstSeq - 1} messages are gone, nothing can be recomputed`,
    )
  const messages: LogMessage[] = []
  const reader = await log.read(stream, { seq: 0, digest: '', created: state.created })
  try {
    while (messages.length < state.lastSeq) messages.push(...(await reader.next(READ_WAIT_MS)))
  } finally {
    await reader.stop()
  }
  return messages
}

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...argv], options: { 'data-dir': { type: 'string' } } })
  const dataDir = values['data-dir']
  if (dataDir === undefined) throw new Error('--data-dir is needed')
  const shown = JSON.parse(readFileSync(join(dataDir, 'last-shown.json'), 'utf8')) as Shown
  const server = await startNatsServer({ storeDir: join(dataDir, 'nats'), mappings: {} })
  try {
    const log = await connectLog({ servers: server.url, name: 'oracle' })
    try {
      const partitions: Partition[] = []
      for (let p = 0; p < shown.partitions; p++)
        partitions.push(
          judgeMessages(await readStream(log, `${shown.namespace}_${SOURCE_STAGE}_${p}`), shown.lateness_ms),
        )
      const { numbers, wrong } = differencesIn(shown, partitions)
      for (const line of wrong) console.log(line)
      console.log(`shown: ${numbers} numbers, ${wrong.length} differences`)
      return wrong.length === 0 ? 0 : 1
    } finally {
      await log.close()
    }
  } finally {
    await server.stop()
  }
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
    console.error(`shown: ${error.message.split('\n')[0]}`)
    return 2
  })
}
