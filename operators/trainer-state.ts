// What the trainer knows: models of all windows, sums of what they have said, and what it has published; in memory, and kept so that a
// restart goes on to the bit.
// TS1: kept is a checkpoint and the rows since: blocks of parameters and the head as they were after some row, and every row after it
//      that changed something. Whoever goes on reads the checkpoint and learns those rows again, in their order, by the same code.
//      So a commit writes the rows that came, some hundred bytes each, and not the 20 blocks and more that each of them touches.
// TS2: when a checkpoint is made follows from rows and timers alone (each keptRowsMax rows, and when a candidate was decided), so that
//      what is kept is the same however rows came in slices.
// TS3: a row is scored by the state before it, the score is counted, and only then is anything of it learned.
// TS4: calibration is fitted to what was served: of a touch that a version scored, to what the model of that version said, before its own
//      layer. A version does not go on learning, and promises more than the state that does.
// TS5: from when on a version could have scored is said once, by the first row of a touch that one did: the time of that touch, or the one
//      from which the version holds where the touch came later than that. So all rows of a touch teach, or none does.
// When candidates are made: operators/trainer.ts. Which rows teach what: docs/model-loop.md.

import { hashText } from '../ml/hash.ts'
import { logitOf, sigmoid } from '../ml/logistic.ts'
import { loadParts } from '../ml/models.ts'
import type { GoldenRows } from '../ml/onnx-export.ts'
import { unpackRow } from '../ml/packed-rows.ts'
import { BLOCK_BYTES, type Parameters } from '../ml/parameters.ts'
import { Rows } from '../ml/rows.ts'
import { advertiserKey, FEATURES_RELEASE } from '../ml/touch-features.ts'
import { WindowModels } from '../ml/window-models.ts'
import type { Codec, KeyedStore, StoreSpec } from '../state/store.ts'
import { corrupt } from './bytes.ts'
import type { TrainingRow } from './model-records.ts'
import type { OperatorContext } from './operator.ts'
import { listOfRow, type RowList, rowOfList } from './row-list.ts'
import { addTo, noSums, type Sums } from './trainer-gates.ts'
import type { TrainerSettings } from './trainer-settings.ts'

const DAY_MS = 86_400_000
/** Rows of one value: few, because a commit writes the last one again. */
const CHUNK_ROWS = 16
/** Golden rows of a version: enough that each feature of a touch is in some; a loader asks them all, alone and together. */
const GOLDEN_ROWS = 16

/** Four a day for a month: rows of touches that older ones scored are counted by what the model says now. */
export const LAYERS_KEPT = 128

/** A row with the order time at which it came. */
export interface KeptRow {
  readonly at: number
  readonly row: TrainingRow
}

/** Everything but parameters. Plain data, kept as JSON. */
export interface Head {
  /** Rows that taught, those among them that the last candidate knew, and the order times of the first and the last. */
  rows: number
  asked: number
  firstMs: number
  lastMs: number
  /** By window: order time from which what its model says is counted; null: it has not learned enough yet. */
  settledMs: (number | null)[]
  sums: Sums
  /** Of the newest O rows. */
  golden: { readonly input: string; readonly kind: TrainingRow['touchType'] }[]
  /** The last version that was published. */
  published: { readonly version: number; readonly from: number } | null
  /** TS5. null: no version has scored yet, as far as rows tell. */
  firstScoredMs: number | null
  /** Of the newest versions that were published: from when they hold, and by window the calibration in its file. The newest last. */
  layers: {
    readonly version: number
    readonly from: number
    readonly ofWindows: readonly (readonly [a: number, b: number])[]
  }[]
  /** The newest touch that a version scored. */
  scored: { readonly timeMs: number; readonly version: number } | null
}

/** What a keyed store has of it: bytes of a block, or JSON. */
const HEAD = 'head'
export const CHECKPOINT: StoreSpec = { kind: 'keyed', id: 1, name: 'trained', codec: bytesCodec() }
export const ROWS: StoreSpec = { kind: 'keyed', id: 2, name: 'rows since', codec: rowsCodec() }

function bytesCodec(): Codec<Uint8Array> {
  return { encode: (bytes) => bytes, decode: (bytes) => Uint8Array.from(bytes) }
}

function rowsCodec(): Codec<KeptRow[]> {
  return {
    encode: (rows) => Buffer.from(JSON.stringify(rows.map(({ at, row }) => [at, listOfRow(row)]))),
    decode: (bytes) =>
      (JSON.parse(Buffer.from(bytes).toString('utf8')) as [number, RowList][]).map(([at, list]) => ({
        ...{ at, row: rowOfList(list) },
      })),
  }
}

/** Blocks of all parts, by the keys under which they are kept. */
function blocksOf(models: WindowModels): (readonly [key: string, parameters: Parameters, block: number])[] {
  return Object.entries(models.parts).flatMap(([name, { parameters }]) =>
    Array.from({ length: parameters.blocks }, (_, block) => [`${name} ${block}`, parameters, block] as const),
  )
}

export class Trained {
  readonly #settings: TrainerSettings
  readonly models: WindowModels
  head: Head
  /** Since the checkpoint, and how many of them are kept. */
  readonly #since: KeptRow[] = []
  #kept = 0
  readonly #rows = new Rows()
  readonly #served: Float64Array
  /** By configured window: its place in the model; -1: it is not of it. */
  readonly #places: readonly number[]

  #isOpen = false

  constructor(settings: TrainerSettings) {
    const { windows, configured } = settings.windows
    this.#settings = settings
    this.models = new WindowModels(windows, settings.model, settings.policy)
    this.#served = new Float64Array(windows.length)
    this.#places = Array.from({ length: Math.max(-1, ...configured) + 1 }, (_, index) => configured.indexOf(index))
    this.head = {
      ...{ rows: 0, asked: 0, firstMs: 0, lastMs: 0, settledMs: windows.map(() => null), sums: noSums() },
      ...{ golden: [], published: null, firstScoredMs: null, scored: null, layers: [] },
    }
  }

  /** Names what open() reads. */
  want(ctx: OperatorContext): void {
    if (this.#isOpen) return
    const { checkpoint, rows, lot } = storesIn(ctx)
    checkpoint.want(0, HEAD)
    for (const [key] of blocksOf(this.models)) checkpoint.want(0, key)
    for (let chunk = 0; chunk < this.#chunksMax; chunk++) rows.want(lot, String(chunk))
  }

  /** As it was kept; where nothing was, as the settings say that it begins. */
  open(ctx: OperatorContext): void {
    if (this.#isOpen) return
    this.#isOpen = true
    const { checkpoint, rows, lot } = storesIn(ctx)
    const head = checkpoint.get(0, HEAD)
    if (head === undefined) this.#warmStart()
    else {
      this.head = JSON.parse(Buffer.from(head).toString('utf8')) as Head
      for (const [key, parameters, block] of blocksOf(this.models)) {
        const bytes = checkpoint.get(0, key)
        if (bytes === undefined) continue
        if (bytes.length !== BLOCK_BYTES) throw corrupt(`block ${key} of the model has another length`)
        parameters.write(block, bytes)
      }
    }
    for (let chunk = 0; chunk < this.#chunksMax; chunk++)
      for (const kept of rows.get(lot, String(chunk)) ?? []) {
        this.#since.push(kept)
        this.#learn(kept)
      }
    this.#kept = this.#since.length
  }

  get #chunksMax(): number {
    return Math.ceil(this.#settings.keptRowsMax / CHUNK_ROWS)
  }

  /** A row that teaches: scored, counted and learned; kept with the next keep(). */
  take(kept: KeptRow, ctx: OperatorContext): void {
    this.#since.push(kept)
    this.#learn(kept)
    if (this.#since.length < this.#settings.keptRowsMax) return
    this.endLot()
    this.checkpoint(ctx)
  }

  /** Keeps the rows that were taken. Called before the slice ends. */
  keep(ctx: OperatorContext): void {
    const { rows, lot } = storesIn(ctx)
    for (; this.#kept < this.#since.length; this.#kept = Math.min(this.#since.length, this.#kept + CHUNK_ROWS)) {
      const chunk = Math.floor(this.#kept / CHUNK_ROWS)
      const from = chunk * CHUNK_ROWS
      rows.set(lot, String(chunk), this.#since.slice(from, from + CHUNK_ROWS))
      this.#kept = from
    }
  }

  /** Rows of a lot are learned in an order of their own (`recurring`): those since the checkpoint. */
  endLot(): void {
    if (this.#settings.mode === 'online') return
    const { seed } = this.#settings
    const lot = this.#since.map((kept) => [hashText(idOf(kept), seed), kept] as const)
    lot.sort(([a, one], [b, other]) => a - b || (idOf(one) < idOf(other) ? -1 : 1))
    for (const [, { row }] of lot) if (row.kind !== 'M') this.#teach(row, this.#unpacked(row))
  }

  /** TS1. Keeps the state as it is now in the place of what was kept. */
  checkpoint(ctx: OperatorContext): void {
    const { checkpoint, rows, lot } = storesIn(ctx)
    checkpoint.set(0, HEAD, Buffer.from(JSON.stringify(this.head)))
    for (const [name, { parameters }] of Object.entries(this.models.parts))
      for (const block of parameters.takeDirty()) checkpoint.set(0, `${name} ${block}`, parameters.read(block))
    this.#since.length = 0
    this.#kept = 0
    rows.expireBelow(lot + 1)
  }

  /** The newest touches, and one that knows nothing. */
  golden(): GoldenRows {
    const rows = new Rows()
    rows.push([])
    for (const { input } of this.head.golden) unpackRow(input, rows)
    return { rows, kinds: ['click', ...this.head.golden.map(({ kind }) => kind)] }
  }

  #learn({ at, row }: KeptRow): void {
    const { head } = this
    head.firstMs = head.rows === 0 ? at : head.firstMs
    head.lastMs = at
    head.rows++
    for (const { calibration } of this.models.predictors) calibration.advance(at)
    if (row.kind === 'M') this.#mature(row)
    else {
      const rows = this.#unpacked(row)
      this.#judge(row, rows, at)
      if (this.#settings.mode === 'online') this.#teach(row, rows, this.models.own)
    }
  }

  /** How often touches that convert do: from rows whose window is over, by advertiser. */
  #mature({ advertiser, lanes }: TrainingRow): void {
    this.#rows.clear()
    const row = this.#rows.push([advertiserKey(advertiser)])
    for (const { window, y, count } of lanes) {
      const place = this.#placeOf(window)
      if (place !== -1 && y === 1) this.models.predictors[place]!.counts.learn(this.#rows, row, count)
    }
  }

  /** TS3. What is said of a row now, counted: for the gates, for calibration, and as rates to fall back on. */
  #judge(row: TrainingRow, rows: Rows, at: number): void {
    const { models, head } = this
    const { settledRows, windows } = this.#settings
    const isTouch = row.kind === 'O'
    models.serve(rows, 0, row.touchType, this.#served)
    if (isTouch) {
      models.fallback.vote(rows, 0)
      head.golden.push({ input: row.input!, kind: row.touchType })
      if (head.golden.length > GOLDEN_ROWS) head.golden.shift()
    }
    if (row.version > 0) this.#heardOf(row)
    for (const { window, y } of row.lanes) {
      const place = this.#placeOf(window)
      if (place === -1) continue
      models.fallback.count(rows, 0, place, { touches: isTouch ? 1 : 0, positives: y })
      const { learner, calibration } = models.predictors[place]!
      if (head.settledMs[place] === null && learner.model.learned >= settledRows) head.settledMs[place] = at
      const settledMs = head.settledMs[place]!
      if (settledMs === null) continue
      const f = models.own[place]!
      // Whole days: of a few touches at the end of one, a single late conversion would say that nearly all come late.
      if (row.touchTimeMs >= Math.ceil(settledMs / DAY_MS) * DAY_MS) {
        const served = this.#servedBy(row, window, place) ?? f
        if (isTouch) calibration.scored(row.touchTimeMs, served)
        if (y === 1) calibration.converted(row.touchTimeMs, served, at - row.touchTimeMs)
      }
      if (place !== windows.judged) continue
      const live = row.version > 0 && row.p[window]! > 0 ? row.p[window]! : null
      addTo(head.sums, { isTouch, y, p: this.#served[place]!, live, f, late: learner.lateOf(rows, 0) })
    }
  }

  /** TS4. null: no version that is still known scored it, or says nothing of the window. */
  #servedBy({ version, p }: TrainingRow, window: number, place: number): number | null {
    const [a, b] = this.head.layers.find((each) => each.version === version)?.ofWindows[place] ?? [0, 0]
    return a > 0 && p[window]! > 0 ? sigmoid((logitOf(p[window]!) - b) / a) : null
  }

  /** A version is published as the models are now. */
  published(version: number, from: number): void {
    const { head, models } = this
    const { layers } = head
    head.published = { version, from }
    layers.push({
      ...{ version, from },
      ofWindows: models.predictors.map(({ calibration: { slope, offset } }) => [slope, offset]),
    })
    if (layers.length > LAYERS_KEPT) layers.shift()
  }

  #heardOf({ touchTimeMs: timeMs, version }: TrainingRow): void {
    const { head } = this
    head.firstScoredMs ??= Math.max(timeMs, head.layers.find((each) => each.version === version)?.from ?? timeMs)
    if (timeMs >= (head.scored?.timeMs ?? 0)) head.scored = { timeMs, version }
  }

  /** `said`: by window, what was just said of the row. */
  #teach({ kind, lanes }: TrainingRow, rows: Rows, said?: Float64Array): void {
    for (const { window, y } of lanes) {
      const place = this.#placeOf(window)
      if (place === -1) continue
      const { learner } = this.models.predictors[place]!
      // Touches that come are told of with their O; by policies that learn of them, nothing that was said holds after that.
      if (kind === 'O') learner.told('touch', rows, 0, 0, said?.[place])
      const isSame = kind === 'D' || learner.policy === 'elapsed-time'
      learner.told(kind as 'O' | 'D', rows, 0, y, isSame ? said?.[place] : undefined)
    }
  }

  #unpacked({ input }: TrainingRow): Rows {
    this.#rows.clear()
    unpackRow(input!, this.#rows)
    return this.#rows
  }

  #placeOf = (window: number): number => this.#places[window] ?? -1

  /** Files of `holdfast train --out`, each of one window. */
  #warmStart(): void {
    const { start, goal, policy, windows } = this.#settings
    for (const { window, bytes } of start) {
      const place = windows.windows.findIndex(({ name }) => name === window)
      if (place === -1) throw corrupt(`there is no window ${window} to begin with a file`)
      const about = { window, goal, policy, featuresRelease: FEATURES_RELEASE }
      const { parts } = this.models.predictors[place]!
      loadParts(bytes, about, parts)
      // What was read is new to the store.
      for (const { parameters } of Object.values(parts))
        for (let block = 0; block < parameters.blocks; block++)
          if (!parameters.isBlank(block)) parameters.dirty[block] = 1
    }
  }
}

/** Rows of one touch differ in their kind. */
const idOf = ({ row: { user, touchId, touchTimeMs, kind } }: KeptRow): string =>
  `${user}\u001f${touchId}\u001f${touchTimeMs}\u001f${kind}`

/** Its stores, and the lot of rows that is open: each checkpoint begins the next, in a bucket of its own. */
function storesIn(ctx: OperatorContext): {
  checkpoint: KeyedStore<Uint8Array>
  rows: KeyedStore<KeptRow[]>
  lot: number
} {
  const rows = ctx.keyed<KeptRow[]>(ROWS.name)
  return { checkpoint: ctx.keyed<Uint8Array>(CHECKPOINT.name), rows, lot: Math.max(0, rows.lowestBucket) }
}
