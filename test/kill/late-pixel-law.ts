// What a run over late pixels (test/generate/late-pixels.ts) must have written, worked out from its own lines: who knows who is
// credited knows every correction. The oracle says the same from the events; this would see it without.
// LP1: every conversion is credited in 28d_click.
// LP2: a touch and window has one M row; each conversion credited to it that M does not count has one C row, which counts one more
//      than the row before it, and no other touch has any.
// LP3: touches credited = touches whose last M or C row has y = 1 = O rows with y = 1 + D rows, window by window.

import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Summary } from '../../cli/run-results.ts'

/** What belongs to one touch in one window. */
interface Lane {
  credited: number
  mature: number | null
  /** What its C rows count, in any order. */
  readonly corrected: number[]
  early: boolean
}

/** One line per fault, of each kind the first few. */
export async function latePixelFaults(out: string): Promise<string[]> {
  const lanes = new Map<string, Lane>()
  const laneOf = (touch: unknown, window: unknown): Lane => {
    const name = `${touch} ${window}`
    const lane = lanes.get(name) ?? { credited: 0, mature: null, corrected: [], early: false }
    lanes.set(name, lane)
    return lane
  }
  let uncredited = 0
  for await (const { touch_id, window } of linesIn(join(out, 'attributions.ndjson'))) {
    if (touch_id !== null) laneOf(touch_id, window).credited++
    else if (window === '28d_click') uncredited++
  }
  const faults = new Faults()
  for await (const { touch_id, window, kind, y, count } of linesIn(join(out, 'labels.ndjson'))) {
    const lane = laneOf(touch_id, window)
    if (kind === 'C') lane.corrected.push(count as number)
    else if (kind === 'M' && lane.mature === null) lane.mature = count as number
    else if (kind === 'M') faults.add('a second M', `${touch_id} ${window}`)
    else if (kind === 'D' || (kind === 'O' && y === 1)) lane.early = true
  }
  if (uncredited > 0) faults.add('conversions that nobody is credited with', String(uncredited))
  for (const [name, { credited, mature, corrected, early }] of lanes) {
    const expected = Array.from({ length: credited - (mature ?? 0) }, (_, i) => mature! + 1 + i)
    const found = corrected.sort((a, b) => a - b)
    if (String(found) !== String(expected)) faults.add('C rows', `${name}: ${found}, and not ${expected}`)
    if (early !== credited > 0) faults.add('O and D', `${name}: ${credited} credited`)
  }
  const corrections = [...lanes.values()].filter(({ corrected }) => corrected.length > 0)
  if (corrections.length === 0) faults.add('no M was corrected', out)
  const summary = JSON.parse(await readFile(join(out, 'summary.json'), 'utf8')) as Summary
  for (const { lane, credited, mature, observed } of summary.conservation!)
    if (credited !== mature || credited !== observed) faults.add('conservation', lane)
  return faults.texts
}

const SHOWN_MAX = 5

class Faults {
  readonly texts: string[] = []
  readonly #counts = new Map<string, number>()

  add(what: string, where: string): void {
    const count = (this.#counts.get(what) ?? 0) + 1
    this.#counts.set(what, count)
    if (count <= SHOWN_MAX) this.texts.push(`${what}: ${where}`)
  }
}

type Line = Readonly<Record<string, unknown>>

async function* linesIn(path: string): AsyncGenerator<Line> {
  for await (const line of createInterface({ input: createReadStream(path) })) yield JSON.parse(line) as Line
}
