// The trainer once more, outside the stream, on the rows that a run has logged: whether its versions were trained on those and on nothing
// else. From the run's files: labels.ndjson (what is known of a touch), scores.ndjson (what was said of it), the events (what it said of
// itself) and attributions.ndjson (when a late conversion became known).
// RT1: rows are put in the order key (protocol.md, section 8), as time would have told them: O and M at their times, D with the
//      attribution of its conversion. No event of such a run is late.
// RT2: what the run had left when its input ended, it learned while it drained, when no candidate is made: it is not learned here.

import { join } from 'node:path'
import { readScores } from '../../cli/evaluate/score-lines.ts'
import { attributionOf, scoringOf } from '../../cli/settings.ts'
import { jsonLines, nameOf } from '../../cli/train/labelled-touches.ts'
import { touchInLine } from '../../cli/train/touch-lines.ts'
import { assert } from '../../log/errors.ts'
import { packKeys } from '../../ml/packed-rows.ts'
import { touchKeys } from '../../ml/touch-features.ts'
import { lengthFor } from '../../operators/attribution-settings.ts'
import { MODELS, type ModelRecord, type TrainingRow } from '../../operators/model-records.ts'
import { RANK, type Rec } from '../../operators/operator.ts'
import { type AttributionRecord, touchKey } from '../../operators/touch.ts'
import { trainer } from '../../operators/trainer.ts'
import type { LabelLine } from '../../sinks/joined-lines.ts'
import { candidateRefusal } from '../../topology/models/onnx-model.ts'
import { trainerSettings } from '../../topology/models/scoring-settings.ts'
import { runStage } from '../stage-harness.ts'
import type { ServedRun } from './served-world.ts'

type Logged = Pick<ServedRun, 'events' | 'out' | 'config'>

interface Touched {
  readonly facts: Omit<TrainingRow, 'kind' | 'complete' | 'lanes'>
  readonly key: string
}

/** Rows that teach, in their order, as the run's files tell them. */
export async function loggedRows({ events, out, config }: Logged): Promise<Rec<TrainingRow>[]> {
  const attribution = attributionOf(config)
  assert(attribution !== 'off', 'a run that learns attributes')
  const { windows, graceMs, shortWaitMs } = attribution
  const touches = await touchesOf(
    events,
    out,
    windows.map(({ name }) => name),
  )
  const credited = await creditsOf(join(out, 'attributions.ndjson'))
  const rows: Rec<TrainingRow>[] = []
  for await (const { value } of jsonLines(join(out, 'labels.ndjson'))) {
    const { user_id, touch_id, touch_time, kind, window: name, y, count } = value as LabelLine
    // Of M rows only those that converted say anything; corrections say nothing.
    if (kind === 'C' || (kind === 'M' && y === 0)) continue
    const { facts, key } = touches.get(nameOf(user_id, touch_id))!
    const window = windows.findIndex((each) => each.name === name)
    const conversion = kind === 'D' ? credited.get(nameOf(user_id, touch_id))! : null
    const waitMs = kind === 'O' ? shortWaitMs : lengthFor(windows[window]!, facts.touchType)!
    const at = (conversion === null ? touch_time + waitMs : conversion.conversion_time) + graceMs
    const row = { ...facts, kind, complete: true, lanes: [{ window, y, count }] }
    const place = conversion === null ? { type: kind, id: key } : { type: 'conversion', id: conversion.conversion_id }
    const value_ = kind === 'M' ? { ...row, input: null } : row
    rows.push({ value: value_, at, watermark: at - 1, late: false, rank: RANK.timer, ...place, number: 0, input: 0 })
  }
  return rows.sort((a, b) => a.at - b.at || compare(a.type, b.type) || compare(a.id, b.id))
}

async function touchesOf(events: string, out: string, windows: readonly string[]): Promise<Map<string, Touched>> {
  const { served } = await readScores(join(out, 'scores.ndjson'))
  const touches = new Map<string, Touched>()
  for await (const { value } of jsonLines(events)) {
    const line = value === null ? null : touchInLine(value)
    if (line === null) continue
    const { type: touchType, id: touchId, user, advertiser, timeMs: touchTimeMs } = line
    const { version, p } = served.get(nameOf(user, touchId))!
    const said = { version: Number(version), p: windows.map((name) => p[name] ?? 0), input: packKeys(touchKeys(line)) }
    const facts = { touchType, touchId, user, advertiser, touchTimeMs, ...said }
    touches.set(nameOf(user, touchId), { facts, key: touchKey(line) })
  }
  return touches
}

/** The first conversion that is credited to each touch. */
async function creditsOf(file: string): Promise<Map<string, AttributionRecord>> {
  const first = new Map<string, AttributionRecord>()
  for await (const { value } of jsonLines(file)) {
    const record = value as AttributionRecord
    if (record.touch_id === null) continue
    const name = nameOf(record.user_id, record.touch_id)
    const known = first.get(name)
    if (known === undefined || record.conversion_time < known.conversion_time) first.set(name, record)
  }
  return first
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export interface Retrained {
  readonly models: readonly ModelRecord[]
  /** By SHA-256. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** Candidates that the trainer makes of rows, as far as time went in the run: `untilMs`, its last watermark. */
export async function retrained(
  rows: readonly Rec<TrainingRow>[],
  { config }: Pick<ServedRun, 'config'>,
  untilMs: number,
): Promise<Retrained> {
  const [attribution, scoring] = [attributionOf(config), scoringOf(config)]
  assert(attribution !== 'off' && scoring !== 'off', 'a run that learns attributes and scores')
  const settings = trainerSettings(scoring, attribution, null)
  assert(settings !== null, 'a run that learns trains')
  const known = rows.filter(({ at }) => at <= untilMs)
  const { emitted, blobs } = await runStage(() => [trainer(settings, MODELS, candidateRefusal)], [...known, untilMs], {
    outputs: [MODELS],
  })
  return { models: emitted[MODELS] as ModelRecord[], files: blobs }
}
