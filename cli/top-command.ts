// `holdfast top`: what each task of a running node is doing, again and again. Rates are taken between two looks.
// TC1: how far a task is behind is said in messages that it has not read, in records that were sent to it, and in seconds: the
//      age of the oldest message that is not readable yet. All come from the node; a task that stands still grows older there.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { HoldfastClient, StatusAnswer } from '../client/holdfast.ts'
import { clientOf, commandError, type NodeChoice, nodeOptions } from './node-client.ts'
import { tableLines } from './text-table.ts'
import { wholeNumber } from './whole-number.ts'

/** Milliseconds between looks: not so often that looking costs anything, and while somebody still watches. */
const INTERVAL_MS = { min: 100, default: 1_000, max: 60_000 }
const CLEAR_SCREEN = '\x1b[H\x1b[J'

const HELP = `
BEHIND: messages of its stream that a task has not read.  RECORDS: how many records the stage before has published for it that it
has not taken; in the first stage '-': a client's message does not say how many events it has.  LAG: how long the oldest message that is not readable yet has been in the stream.
P99: of 100 messages of the last minute 99 were readable so long after their stream had them.`

interface TopOptions extends NodeChoice {
  /** Milliseconds. */
  readonly interval: number
  readonly once?: boolean
  readonly json?: boolean
}

/** One task, between two looks. */
export interface TopRow {
  readonly task: string
  readonly phase: string
  readonly records_per_s: number
  /** Messages in its stream that it has not applied. */
  readonly behind: number
  /** Records that were sent to it and that it has not taken; null: nobody has counted them. */
  readonly behind_records: number | null
  /** Age of the oldest message that is not readable yet, seconds; 0: there is none. */
  readonly lag_s: number
  /** Of 100 messages 99 were readable so many milliseconds after the log had them; null: nothing came lately. */
  readonly readable_p99_ms: number | null
  /** Milliseconds of event time. */
  readonly watermark: number | null
  readonly waiting_for: string | null
}

/** Adds the command. */
export function topCommand(program: Command): void {
  const { min, max } = INTERVAL_MS
  nodeOptions(
    program.command('top').description('Watch the tasks of a running node: rate, lag, watermark, what each waits for.'),
  )
    .option('--interval <ms>', 'milliseconds between looks', wholeNumber('--interval', min, max), INTERVAL_MS.default)
    .addHelpText('after', HELP)
    .option('--once', 'print one table, of one interval, and end')
    .option('--json', 'print a line of JSON for each interval')
    .action(async (options: TopOptions) => {
      const client = clientOf(options, process.env)
      try {
        await watch(client, options)
      } catch (error) {
        throw commandError(error)
      }
    })
}

/** Until a signal, or after one interval. */
async function watch(client: HoldfastClient, { interval, once, json }: TopOptions): Promise<void> {
  const end = new AbortController()
  const stop = () => end.abort()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  let before = await client.status()
  do {
    await sleep(interval, undefined, { signal: end.signal }).catch(() => {})
    if (end.signal.aborted) return
    const now = await client.status()
    const rows = rowsBetween(before, now)
    process.stdout.write(json === true ? `${JSON.stringify({ tasks: rows })}\n` : screen(topText(rows)))
    before = now
  } while (once !== true)
  process.off('SIGINT', stop).off('SIGTERM', stop)
}

/** In its place on a terminal, one after the other in a pipe. */
function screen(text: string): string {
  return process.stdout.isTTY ? `${CLEAR_SCREEN}${text}` : `${text}\n`
}

/** What happened between two answers of one node; a task that is new has no rates yet. */
export function rowsBetween(before: StatusAnswer, now: StatusAnswer): TopRow[] {
  const seconds = (now.now_ms - before.now_ms) / 1_000
  const former = new Map(before.tasks.map((task) => [task.name, task]))
  return now.tasks.map((task) => {
    const { name, phase, pending, lag_records, lag_ms, readable_ms, watermark, waiting, counts } = task
    const { counts: formerCounts } = former.get(name) ?? task
    const perSecond = (count: number) => (seconds > 0 ? Math.max(0, count) / seconds : 0)
    return {
      task: name,
      phase,
      records_per_s: Math.round(perSecond((counts.records ?? 0) - (formerCounts.records ?? 0))),
      behind: pending,
      behind_records: lag_records,
      lag_s: lag_ms / 1_000,
      readable_p99_ms: readable_ms?.p99 ?? null,
      watermark,
      waiting_for: waiting === null ? null : waitText(waiting, now.now_ms),
    }
  })
}

type Waiting = NonNullable<StatusAnswer['tasks'][number]['waiting']>

function waitText({ cause, on, detail, since_ms }: Waiting, nowMs: number): string {
  return `${cause} of ${on} for ${Math.max(0, Math.round((nowMs - since_ms) / 1_000))} s: ${detail}`
}

/** The rows for a person. */
export function topText(rows: readonly TopRow[]): string {
  const head = ['TASK', 'PHASE', 'RECORDS/S', 'BEHIND', 'RECORDS', 'LAG', 'P99', 'WATERMARK', 'WAITING FOR']
  const cells = rows.map(({ lag_s, readable_p99_ms, watermark, waiting_for, ...row }) => [
    row.task,
    row.phase,
    row.records_per_s,
    row.behind,
    row.behind_records ?? '-',
    `${lag_s.toFixed(1)} s`,
    readable_p99_ms === null ? '-' : `${readable_p99_ms} ms`,
    watermark === null ? 'none' : new Date(watermark).toISOString(),
    waiting_for ?? '-',
  ])
  return `${tableLines(head, cells).join('\n')}\n`
}
