// What models cost: rows learned and scored in a second on one core, each row once and in order; first in a loop that reads no log,
// then the trainer as a task (bench/trainer-task.ts) and the scorer as an operator (bench/scorer-run.ts).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createModel, MODEL_DEFAULTS, MODEL_NAMES } from '../ml/models.ts'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import { MODELS, type TrainingRow } from '../operators/model-records.ts'
import { modelWindows } from '../operators/model-windows.ts'
import type { OperatorContext, Rec } from '../operators/operator.ts'
import { trainer } from '../operators/trainer.ts'
import { TRAINER } from '../operators/trainer-settings.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { labelOf, rowsOf, SLICE, STEP_MS, taughtRows } from './model-rows.ts'
import { type Rate, rateOf } from './rate.ts'
import { SCORER_FEATURES, scorerRate } from './scorer-run.ts'
import { trainerTask } from './trainer-task.ts'

export interface ModelCell extends Rate {
  readonly model: string
  readonly does: string
}

export interface ModelOptions {
  readonly rows: number
  readonly samples: number
  /** Where servers and states live; the caller removes it. */
  readonly directory: string
}

/** What a cell does, where the report looks for it. */
export const FROM_LOG = 'from log to commit'
export const SCORE = 'score'
export const scorerName = (features: number): string => `scorer, ${features} features`
/** Some hundred slices: the processor's caches know none of them. */
const SCORED_TOUCHES = 50_000
/** Of one commit while a backlog is read. */
const COMMIT_ROWS = 20_000

/**
 * The trainer as a task runs it: slices of rows through the operator, by its stores; `committed`: with a commit to RocksDB after each
 * COMMIT_ROWS and at the end. Reading and parsing the log are not in it.
 */
async function trainerCell(count: number, samples: number, does: 'learn' | 'learn, commit'): Promise<ModelCell> {
  const rows = taughtRows(count)
  const settings = { ...TRAINER, windows: modelWindows(ATTRIBUTION_DEFAULT) }
  const path = mkdtempSync(join(tmpdir(), 'holdfast-bench-trainer-'))
  try {
    const operator = trainer(settings, MODELS, async () => null)
    const backend = does === 'learn' ? new MemoryDisk().open() : await openRocksBackend(path)
    const state = await TaskState.open(backend, operator.stores)
    const context = {
      keyed: (name: string) => state.keyed(name),
      count() {},
      setTimer() {},
    } as unknown as OperatorContext
    let passes = 0
    const pass = async () => {
      // Time goes on from pass to pass.
      const passedMs = passes++ * count * STEP_MS
      let uncommitted = 0
      for (let from = 0; from < count; from += SLICE) {
        const slice = rows.slice(from, from + SLICE).map((rec) => laterBy(rec, passedMs))
        operator.keys?.(slice, context)
        await state.prefetch()
        operator.process(slice, context)
        uncommitted += slice.length
        if (does === 'learn' || (uncommitted < COMMIT_ROWS && from + SLICE < count)) continue
        uncommitted = 0
        const cut = state.cut()
        await state.write(cut, '')
        state.publishSnapshot(cut)
      }
    }
    const cell = { model: `trainer, ${settings.windows.windows.length - 1} windows`, does }
    const rate = await rateOf(pass, count, samples)
    await state.close()
    return { ...cell, ...rate }
  } finally {
    rmSync(path, { recursive: true })
  }
}

function laterBy(rec: Rec<TrainingRow>, ms: number): Rec<TrainingRow> {
  const at = rec.at + ms
  return { ...rec, at, watermark: at - 1, value: { ...rec.value, touchTimeMs: at } }
}

/** The trainer's rows from the log, through a real task: each sample on a new server and a new state. */
async function fromLog({ rows, samples, directory }: ModelOptions): Promise<Rate> {
  let [rowsPerS, rowsPerCpuS] = [0, 0]
  for (let sample = 0; sample < samples; sample++) {
    const { seconds, nodeCpuSeconds } = await trainerTask(rows, join(directory, `trainer-${sample}`))
    rowsPerS = Math.max(rowsPerS, rows / seconds)
    rowsPerCpuS = Math.max(rowsPerCpuS, rows / nodeCpuSeconds)
  }
  return { rowsPerS, rowsPerCpuS }
}

/** Measures every model, the trainer and the scorer; `samples` passes over `rows` rows, after one to warm up. */
export async function modelCells(options: ModelOptions): Promise<ModelCell[]> {
  const { rows: count, samples } = options
  const rows = rowsOf(count)
  const labels = Uint8Array.from({ length: count }, (_, row) => labelOf(row))
  const out = new Float64Array(count)
  const cells: ModelCell[] = []
  for (const model of MODEL_NAMES) {
    const learned = createModel(MODEL_DEFAULTS[model])
    const learn = () => {
      for (let row = 0; row < count; row++) learned.learn(rows, row, labels[row] as 0 | 1, 1)
    }
    const predict = () => learned.predict(rows, out)
    cells.push({ model, does: 'learn', ...(await rateOf(learn, count, samples)) })
    cells.push({ model, does: 'predict', ...(await rateOf(predict, count, samples)) })
  }
  for (const does of ['learn', 'learn, commit'] as const) cells.push(await trainerCell(count, samples, does))
  cells.push({ model: 'trainer', does: FROM_LOG, ...(await fromLog(options)) })
  for (const features of SCORER_FEATURES) {
    const rate = await scorerRate(features, { touches: Math.min(count, SCORED_TOUCHES), samples })
    cells.push({ model: scorerName(features), does: SCORE, ...rate })
  }
  return cells
}
