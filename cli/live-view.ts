// What `npm start` shows of a node in the terminal: drawn again in its place on a terminal, a line now and then in a pipe.
// LV1: no line is wider than the terminal: a line that wraps would be two, and the next view would stand one line too low.
// LV2: numbers are as the front door says them; rates are taken between two looks.

import type { HoldfastClient, StatusAnswer, TopFeaturesAnswer } from '../client/holdfast.ts'
import { laneCountName } from '../operators/label-counts.ts'
import { modelLine } from '../sinks/model-status.ts'
import { tableLines } from './text-table.ts'

/** Lists that are looked at, longer than they are shown: the page shows more. */
const LISTS = [
  { feature: 'page_views_1h', entity: 'page', keys: 10 },
  { feature: 'page_views_1h', entity: 'user', keys: 10 },
] as const
const PAGES_SHOWN = 5
/** Milliseconds between lines in a pipe: a log stays short. */
const LINE_MS = 5_000
const COLUMNS_DEFAULT = 80

export interface Seen {
  readonly status: StatusAnswer
  /** In the order of LISTS, pages first, as far as the node keeps them. */
  readonly tops: readonly TopFeaturesAnswer[]
}

/** One look at a node. Throws what the client throws. */
export async function lookAt(client: HoldfastClient): Promise<Seen> {
  const { features } = await client.listFeatures()
  const ranked = new Set(features.flatMap(({ feature, entity, top }) => (top ? [`${entity}.${feature}`] : [])))
  const lists = LISTS.filter(({ feature, entity }) => ranked.has(`${entity}.${feature}`))
  const [status, ...tops] = await Promise.all([
    client.status(),
    ...lists.map(({ feature, entity, keys }) => client.topFeatures(feature, entity, { top: keys })),
  ])
  return { status, tops }
}

export interface Counts {
  readonly accepted: number
  readonly conversions: number
  readonly duplicates: number
  readonly dead_letters: number
  readonly late: number
}

/** Conversions credited to a touch in one window, and to nobody. */
export interface CreditedIn {
  readonly window: string
  readonly attributed: number
  readonly unattributed: number
}

/** What became of the events since the node began. */
export function countsOf({ tasks }: StatusAnswer): Counts {
  const sum = (counter: string) => tasks.reduce((total, { counts }) => total + (counts[counter] ?? 0), 0)
  return {
    ...{ accepted: sum('accepted'), conversions: sum('conversions'), duplicates: sum('duplicates') },
    ...{ dead_letters: sum('dead_letters'), late: sum('late') },
  }
}

/** Of the windows in which something was attributed so far, or found to be nobody's. */
export function creditedIn({ tasks }: StatusAnswer): CreditedIn[] {
  const prefix = laneCountName('attributed', '')
  const other = laneCountName('unattributed', '')
  const names = tasks.flatMap(({ counts }) => Object.keys(counts))
  const windows = new Set(
    names.flatMap((name) => [prefix, other].flatMap((of) => (name.startsWith(of) ? [name.slice(of.length)] : []))),
  )
  const sum = (name: string) => tasks.reduce((total, { counts }) => total + (counts[name] ?? 0), 0)
  return [...windows].sort().map((window) => ({
    ...{ window, attributed: sum(prefix + window), unattributed: sum(other + window) },
  }))
}

export class LiveView {
  readonly #url: string
  readonly #out: NodeJS.WriteStream
  #before: StatusAnswer | null = null
  /** Lines of the view on the terminal now. */
  #lines = 0
  #lineAt = Number.NEGATIVE_INFINITY

  constructor(url: string, out: NodeJS.WriteStream) {
    this.#url = url
    this.#out = out
  }

  draw(seen: Seen): void {
    const rate = this.#before === null ? 0 : ratePerS(this.#before, seen.status)
    this.#before = seen.status
    if (this.#out.isTTY) this.#redraw(screenOf(seen, rate, this.#url))
    else if (performance.now() - this.#lineAt >= LINE_MS) {
      this.#lineAt = performance.now()
      this.#out.write(`${lineOf(seen, rate)}\n`)
    }
  }

  /** A line that stays, above the view. */
  say(line: string): void {
    this.#erase()
    this.#out.write(`${line}\n`)
  }

  /** The last view stays; in a pipe it is written in full now. */
  leave(seen: Seen): void {
    if (!this.#out.isTTY) this.#out.write(`${screenOf(seen, 0, this.#url).join('\n')}\n`)
    this.#lines = 0
  }

  #redraw(lines: readonly string[]): void {
    const width = this.#out.columns || COLUMNS_DEFAULT
    // As high as the terminal: what has scrolled away cannot be drawn again.
    const fitting = lines.slice(0, Math.max(1, (this.#out.rows || lines.length + 1) - 1))
    this.#erase()
    this.#out.write(`${fitting.map((line) => line.slice(0, width - 1)).join('\n')}\n`)
    this.#lines = fitting.length
  }

  #erase(): void {
    if (this.#lines > 0) this.#out.write(`\x1b[${this.#lines}A\x1b[J`)
    this.#lines = 0
  }
}

const n = (value: number): string => value.toLocaleString('en-US')

function ratePerS(before: StatusAnswer, now: StatusAnswer): number {
  const seconds = (now.now_ms - before.now_ms) / 1_000
  const events = (status: StatusAnswer): number => {
    const { accepted, duplicates, dead_letters } = countsOf(status)
    return accepted + duplicates + dead_letters
  }
  return seconds > 0 ? Math.max(0, (events(now) - events(before)) / seconds) : 0
}

/** The whole view. */
export function screenOf({ status, tops }: Seen, rate: number, url: string): string[] {
  const { accepted, conversions, duplicates, dead_letters, late } = countsOf(status)
  return [
    '',
    `Holdfast at work · ${url}/ is its page · Ctrl-C ends it`,
    '',
    `events       ${n(accepted)} accepted · ${n(duplicates)} duplicates · ${n(dead_letters)} dead letters · ${n(late)} late`,
    `rate         ${n(Math.round(rate))} events/s`,
    ...(status.model === null ? [] : [`model        ${modelLine(status.model)}`]),
    `conversions  ${n(conversions)}`,
    ...creditedIn(status).map(
      ({ window, attributed, unattributed }) =>
        `  ${window.padEnd(18)} ${n(attributed)} credited to a touch · ${n(unattributed)} to nobody`,
    ),
    '',
    ...pagesOf(tops),
    '',
    ...tasksOf(status),
  ]
}

function pagesOf(tops: Seen['tops']): string[] {
  const pages = topOfPages(tops)
  if (pages === undefined) return ['the most viewed pages are not among the features of this node']
  const asOf = Math.max(...pages.snapshots.map(({ as_of }) => as_of ?? 0), 0)
  const shown = pages.values.slice(0, PAGES_SHOWN)
  const widest = Math.max(0, ...shown.map(({ value }) => n(value).length))
  return [
    `most viewed pages of the last hour${asOf === 0 ? '' : `, as of ${new Date(asOf).toISOString()}`}`,
    ...shown.map(({ key, value }) => `  ${n(value).padStart(widest)}  ${key}`),
    ...(pages.complete ? [] : ['  (of a part of the keys: there are more than one look counts)']),
  ]
}

const topOfPages = (tops: Seen['tops']) => tops.find(({ entity }) => entity === LISTS[0].entity)

function tasksOf({ tasks }: StatusAnswer): string[] {
  const head = ['TASK', 'PHASE', 'BEHIND', 'LAG', 'READABLE AFTER, P50', 'P99', 'WAITING FOR']
  const ms = (value: number | undefined) => (value === undefined ? '-' : `${value} ms`)
  const rows = tasks.map(({ name, phase, pending, lag_ms, readable_ms, waiting }) => [
    ...[name, phase, pending, `${(lag_ms / 1_000).toFixed(1)} s`, ms(readable_ms?.p50), ms(readable_ms?.p99)],
    waiting === null ? '-' : `${waiting.cause} of ${waiting.on}`,
  ])
  return tableLines(head, rows)
}

/** The same in a line. */
export function lineOf({ status, tops }: Seen, rate: number): string {
  const { accepted, conversions, duplicates } = countsOf(status)
  const behind = status.tasks.reduce((sum, { pending }) => sum + pending, 0)
  const p99 = status.tasks.flatMap(({ readable_ms }) => (readable_ms === null ? [] : [readable_ms.p99]))
  const first = topOfPages(tops)?.values[0]
  return [
    `${n(accepted)} accepted, ${n(Math.round(rate))}/s`,
    `${n(conversions)} conversions`,
    `${n(duplicates)} duplicates`,
    `${n(behind)} messages behind`,
    p99.length === 0 ? 'nothing readable lately' : `readable after ${Math.max(...p99)} ms (p99, slowest task)`,
    first === undefined ? 'no page viewed' : `most viewed ${first.key}: ${n(first.value)}`,
  ].join(' · ')
}
