// Rows to train on, from the files of `holdfast run`: label rows, the touches that they are of, and when each row became known.
// LT1: every label row is used, or counted under why not; one that cannot be read or has no touch ends the command, with its line.
// LT2: lines of results are sorted by their bytes, so their order says nothing: rows are put in the order in which they became known
//      (docs/joiner.md): O and M by their times, D when its conversion was attributed, which attributions.ndjson knows.
// LT3: what happened is the last word of a touch: C where there is one, else M.
// Of touches any file with their fields will do: the events that `run` read, or its vectors.ndjson, whose values are features then.

import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { HoldfastError } from '../../log/errors.ts'
import { type BinStep, inOrder, type Step } from '../../ml/progressive.ts'
import { Rows } from '../../ml/rows.ts'
import { touchKeys } from '../../ml/touch-features.ts'
import { type AttributionSettings, type AttributionWindow, lengthFor } from '../../operators/attribution-settings.ts'
import { utf8Text } from '../../operators/event.ts'
import type { TouchType } from '../../operators/touch.ts'
import type { LabelLine } from '../../sinks/joined-lines.ts'
import { linesOf } from '../../sinks/lines.ts'
import { touchInLine } from './touch-lines.ts'

/** What all touches of a file take in memory is some 300 bytes each; more of them are another session's training files. */
export const TOUCHES_MAX = 5_000_000

export interface TrainingFiles {
  readonly labels: string
  readonly touches: string
  readonly attributions: string
}

export interface TrainingAsk {
  readonly window: string
  /** Where goals are declared. */
  readonly goal?: string | undefined
  readonly settings: AttributionSettings
  /** Take what incomplete M rows say as what happened. */
  readonly incomplete: boolean
  readonly touchesMax?: number
}

export interface LabelledTouches {
  /** By touch, in the order (time, user, id). */
  readonly rows: Rows
  readonly timesMs: Float64Array
  /** Of its user and its event_id (nameOf). */
  readonly names: readonly string[]
  readonly advertisers: readonly string[]
  readonly kinds: readonly TouchType[]
  /** Schema of their vectors; null: they have none. */
  readonly vector: string | null
  /** 1 where the last word of a touch says that it converted, and how often. */
  readonly converted: Uint8Array
  readonly conversions: Float64Array
  /** How often when its M row was said. */
  readonly matureConversions: Float64Array
  /** Whether that may be believed: its M row is complete, or incomplete ones are taken. */
  readonly known: Uint8Array
  /** All that happens, in its order. */
  readonly steps: readonly Step[]
  /** The same for bins (ml/hazard.ts): those of the windows in `bins`, the last of which is the one asked for. */
  readonly binSteps: readonly BinStep[]
  readonly bins: readonly string[]
  /** Lines of labels, by what became of them. */
  readonly tally: Readonly<Record<string, number>>
}

interface Mature {
  readonly y: 0 | 1
  readonly count: number
  readonly complete: boolean
}

/** A touch while its label rows are gathered. */
interface Gathered {
  readonly user: string
  readonly id: string
  readonly timeMs: number
  observed: 0 | 1 | null
  /** When its D became known; null: it has none. */
  delayedMs: number | null
  mature: Mature | null
  /** By window, of the shorter ones. */
  readonly shorter: Map<string, Mature>
  corrected: { readonly count: number } | null
  type: TouchType
  advertiser: string
  keys: readonly number[] | null
}

const WINDOW_KINDS = ['O', 'D', 'M', 'C', 'R'] as const

/** Reads and joins the files. Throws USAGE with file and line where something does not fit. */
export async function readLabelledTouches(files: TrainingFiles, ask: TrainingAsk): Promise<LabelledTouches> {
  const { settings } = ask
  const window = settings.windows.find(({ name }) => name === ask.window)
  if (window === undefined)
    throw usage(`there is no window ${ask.window}; there are ${settings.windows.map(({ name }) => name).join(', ')}`)
  const bins = binsOf(window, settings)
  const { touches, tally } = await gatherLabels(files.labels, bins, ask)
  if (touches.size === 0) throw usage(`${files.labels} has no rows of ${ask.window}${ofGoal(ask.goal)}`)
  const vector = await addFacts(touches, files, window)
  await addDelays(touches, files, ask)
  return { ...inArrays([...touches.values()], bins, ask, tally), vector }
}

/** Windows of the same kind alone, from the shortest to the one that is asked for; of a window of several kinds only that. */
function binsOf(window: AttributionWindow, { windows }: AttributionSettings): readonly AttributionWindow[] {
  const [kind, ...others] = (['click', 'impression'] as const).filter((type) => lengthFor(window, type) !== null)
  const lengthOf = (of: AttributionWindow) => lengthFor(of, kind!)
  if (others.length > 0) return [window]
  const isShorter = (of: AttributionWindow) => {
    const isOfKind = lengthOf(of) !== null && (kind === 'click' ? of.impression : of.click) === undefined
    return isOfKind && lengthOf(of)! < lengthOf(window)!
  }
  return [...windows.filter(isShorter).sort((a, b) => lengthOf(a)! - lengthOf(b)!), window]
}

async function gatherLabels(
  file: string,
  bins: readonly AttributionWindow[],
  { window, goal, touchesMax = TOUCHES_MAX }: TrainingAsk,
) {
  const touches = new Map<string, Gathered>()
  const tally: Record<string, number> = { O: 0, D: 0, M: 0, complete: 0, C: 0, R: 0, shorter: 0, other: 0 }
  const shorter: { number: number; line: LabelLine }[] = []
  for await (const { number, value } of jsonLines(file)) {
    const line = (value && labelLine(value)) ?? refuse(file, number, 'it is no label row')
    const isShorter = line.window !== window && line.kind === 'M' && bins.some(({ name }) => name === line.window)
    if (line.goal !== goal || (line.window !== window && !isShorter)) {
      tally.other = tally.other! + 1
      continue
    }
    if (isShorter) {
      tally.shorter = tally.shorter! + 1
      shorter.push({ number, line })
      continue
    }
    tally[line.kind] = tally[line.kind]! + 1
    if (line.kind === 'M' && line.complete) tally.complete = tally.complete! + 1
    const key = keyOf(line.user_id, line.touch_id, line.touch_time)
    let touch = touches.get(key)
    if (touch === undefined) {
      if (touches.size === touchesMax) refuse(file, number, `more than ${touchesMax} touches`)
      touch = gathered(line)
      touches.set(key, touch)
    }
    if (!addLabel(touch, line)) refuse(file, number, `a second ${line.kind} row of touch ${line.touch_id}`)
  }
  for (const { number, line } of shorter) {
    const { window: of, y, count, complete, user_id, touch_id, touch_time } = line
    const touch = touches.get(keyOf(user_id, touch_id, touch_time))
    if (touch === undefined || touch.shorter.has(of))
      refuse(file, number, `an M row of ${of} without one of ${window}, or a second one`)
    touch.shorter.set(of, { y, count, complete })
  }
  return { touches, tally }
}

const gathered = ({ user_id: user, touch_id: id, touch_time: timeMs }: LabelLine): Gathered => ({
  ...{ user, id, timeMs, observed: null, delayedMs: null, mature: null, corrected: null },
  ...{ shorter: new Map(), type: 'click', advertiser: '', keys: null },
})

/** False: there is such a row already. */
function addLabel(touch: Gathered, { kind, y, count, complete }: LabelLine): boolean {
  if (kind === 'O') {
    if (touch.observed !== null) return false
    touch.observed = y
  } else if (kind === 'D') {
    if (touch.delayedMs !== null) return false
    touch.delayedMs = Number.NaN
  } else if (kind === 'M') {
    if (touch.mature !== null) return false
    touch.mature = { y, count, complete }
  } else if (kind === 'C') {
    // Each says the whole anew, and conversions are only added.
    touch.corrected = { count: Math.max(count, touch.corrected?.count ?? 0) }
  }
  return true
}

/** What the touches themselves say; gives the schema of their vectors. Other lines of the file, and events that `run` refuses, are none of ours. */
async function addFacts(
  touches: Map<string, Gathered>,
  files: TrainingFiles,
  window: AttributionWindow,
): Promise<string | null> {
  const schemas = new Set<string | null>()
  let missing = touches.size
  for await (const { value } of jsonLines(files.touches)) {
    const facts = value === null ? null : touchInLine(value)
    if (facts === null || lengthFor(window, facts.type) === null) continue
    const touch = touches.get(keyOf(facts.user, facts.id, facts.timeMs))
    // The first one: a duplicate is no touch.
    if (touch === undefined || touch.keys !== null) continue
    schemas.add(facts.schema)
    touch.type = facts.type
    touch.advertiser = facts.advertiser
    touch.keys = touchKeys(facts, facts.vector)
    missing--
  }
  if (schemas.size > 1)
    throw usage(`${files.touches} has vectors of several schemas, or none for some: ${[...schemas].join(', ')}`)
  if (missing === 0) return [...schemas][0]!
  const [first] = [...touches.values()].filter(({ keys }) => keys === null)
  throw usage(
    `${files.touches} has not ${missing} of the touches in ${files.labels}, one of them ${first!.id} of ${first!.user}`,
  )
}

/** When D rows became known: with the attribution of the first conversion credited. */
async function addDelays(
  touches: Map<string, Gathered>,
  files: TrainingFiles,
  { window, goal, settings }: TrainingAsk,
) {
  for await (const { number, value } of jsonLines(files.attributions)) {
    const line = (value ?? refuse(files.attributions, number, 'it is no attribution')) as Record<string, unknown>
    if (line.window !== window || line.goal !== goal || line.model !== 'last_touch' || line.touch_id === null) continue
    const { user_id: user, touch_id: id, touch_time: timeMs, conversion_time: conversionMs } = line
    if (typeof user !== 'string' || typeof id !== 'string' || !isTime(timeMs) || !isTime(conversionMs))
      refuse(files.attributions, number, 'it is no attribution')
    const touch = touches.get(keyOf(user, id, timeMs))
    if (touch === undefined || touch.delayedMs === null) continue
    const { graceMs, shortWaitMs } = settings
    const atMs = Math.max(conversionMs, timeMs + shortWaitMs) + graceMs
    touch.delayedMs = Number.isNaN(touch.delayedMs) ? atMs : Math.min(touch.delayedMs, atMs)
  }
  for (const { delayedMs, id, user } of touches.values())
    if (Number.isNaN(delayedMs))
      throw usage(`${files.attributions} has no conversion for the D row of touch ${id} of ${user}`)
}

function inArrays(
  touches: Gathered[],
  bins: readonly AttributionWindow[],
  { settings, incomplete }: TrainingAsk,
  tally: Readonly<Record<string, number>>,
): Omit<LabelledTouches, 'vector'> {
  touches.sort((a, b) => a.timeMs - b.timeMs || compare(a.user, b.user) || compare(a.id, b.id))
  const { graceMs, shortWaitMs } = settings
  const rows = new Rows()
  const steps: Step[] = []
  const binSteps: BinStep[] = []
  const window = bins.at(-1)!
  for (const gathered of touches) {
    const { timeMs, type, keys, observed, delayedMs, mature } = gathered
    const touch = rows.push(keys!)
    steps.push({ timeMs, told: 'touch', touch, y: 0 })
    if (observed !== null) steps.push({ timeMs: timeMs + shortWaitMs + graceMs, told: 'O', touch, y: observed })
    if (delayedMs !== null) steps.push({ timeMs: delayedMs, told: 'D', touch, y: 1 })
    if (mature?.complete === true)
      steps.push({ timeMs: timeMs + lengthFor(window, type)! + graceMs, told: 'M', touch, y: mature.y })
    binSteps.push({ timeMs, told: 'touch', touch, bin: 0, before: 0, y: 0 })
    binSteps.push(...binStepsOf(gathered, touch, bins, graceMs))
  }
  return {
    rows,
    timesMs: Float64Array.from(touches, ({ timeMs }) => timeMs),
    names: touches.map(({ user, id }) => nameOf(user, id)),
    advertisers: touches.map(({ advertiser }) => advertiser),
    kinds: touches.map(({ type }) => type),
    converted: Uint8Array.from(touches, ({ mature, corrected }) => (corrected === null ? (mature?.y ?? 0) : 1)),
    conversions: Float64Array.from(touches, ({ mature, corrected }) => corrected?.count ?? mature?.count ?? 0),
    matureConversions: Float64Array.from(touches, ({ mature }) => mature?.count ?? 0),
    known: Uint8Array.from(touches, ({ mature }) => (mature !== null && (incomplete || mature.complete) ? 1 : 0)),
    steps: inOrder(steps),
    binSteps: inOrder(binSteps),
    bins: bins.map(({ name }) => name),
    tally,
  }
}

/** The bins of a touch whose windows were seen to their end. */
function* binStepsOf(
  { timeMs, type, mature, shorter }: Gathered,
  touch: number,
  bins: readonly AttributionWindow[],
  graceMs: number,
): Generator<BinStep> {
  let before: 0 | 1 = 0
  for (const [bin, window] of bins.entries()) {
    const row = bin === bins.length - 1 ? mature : shorter.get(window.name)
    if (row?.complete !== true) return
    const y: 0 | 1 = before === 1 ? 1 : row.y
    yield { timeMs: timeMs + lengthFor(window, type)! + graceMs, told: 'M', touch, bin, before, y }
    before = y
  }
}

/** Each line that is not empty; null: it is no JSON object. Throws USAGE where the file cannot be read. */
export async function* jsonLines(file: string): AsyncGenerator<{ number: number; value: object | null }> {
  const source = createReadStream(file)
  const chunks = file.endsWith('.gz') ? source.pipe(createGunzip()) : source
  source.on('error', (error) => chunks.destroy(error))
  try {
    for await (const lines of linesOf(chunks, 0))
      for (const { number, bytes, blank } of lines) {
        if (blank) continue
        yield { number, value: objectIn(bytes) }
      }
  } catch (error) {
    throw usage(`cannot read ${file}: ${(error as Error).message}`)
  }
}

function objectIn(bytes: Uint8Array): object | null {
  const text = utf8Text(bytes)
  if (text === null) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

function labelLine(value: object): LabelLine | null {
  const line = value as LabelLine
  const { touch_id, user_id, touch_time, goal, window, kind, y, count, complete } = line
  const isOurs = typeof touch_id === 'string' && typeof user_id === 'string' && isTime(touch_time)
  const isOfLane = typeof window === 'string' && (goal === undefined || typeof goal === 'string')
  const isLabel = WINDOW_KINDS.includes(kind) && (y === 0 || y === 1) && Number.isSafeInteger(count)
  const isCounted = kind === 'R' || (y === 1) === count > 0
  return isOurs && isOfLane && isLabel && isCounted && typeof complete === 'boolean' ? line : null
}

/** What names a touch where its time is not said. */
export const nameOf = (user: string | null, id: string): string => `${user ?? ''}\u001f${id}`

const isTime = (value: unknown): value is number => Number.isSafeInteger(value)
const keyOf = (user: string, id: string, timeMs: number): string => `${user}\u001f${id}\u001f${timeMs}`
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const ofGoal = (goal: string | undefined): string => (goal === undefined ? '' : ` of goal ${goal}`)
const usage = (what: string): HoldfastError => new HoldfastError('USAGE', what)
function refuse(file: string, line: number, what: string): never {
  throw usage(`${file}, line ${line}: ${what}`)
}
