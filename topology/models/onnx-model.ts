// An ONNX file at work: loaded only when it is what it says, then asked in batches (onnxruntime-node, one thread).
// OM1: a file is refused for a reason of REFUSALS or it is sound: its bytes are those that were named, it reads the features that are
//      made here, its golden rows get what they must within GOLDEN_ERROR_MAX, every p is a probability, and what a row gets does not
//      depend on what else is in its batch, to the bit.
// OM2: batches are padded to a power of two of at least WIDTH_MIN features. The runtime adds a row's terms in vectors, and in an order
//      that follows the row's width and place in memory: with a width of 5 a row got another last bit alone than among others.
// OM3: what is refused is a function of the bytes: whoever loads them decides alike.

import { createHash } from 'node:crypto'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { HoldfastError } from '../../log/errors.ts'
import { type GoldenRows, goldenRowsOf, INPUTS, type Manifest, manifestIn, OUTPUTS } from '../../ml/onnx-export.ts'
import { Rows } from '../../ml/rows.ts'
import { FEATURES_RELEASE } from '../../ml/touch-features.ts'
import { TOUCH_KINDS, type TouchKind } from '../../ml/windows.ts'
import type { CandidateCheck } from '../../operators/trainer.ts'

/** Between single precision and double, and between machines. */
export const GOLDEN_ERROR_MAX = 1e-6

/** Two of the widest vectors of today's processors (16 floats): from there on, wider rows only add zeros to the same sums. */
const WIDTH_MIN = 32

/** Why a file is refused. */
export const REFUSALS = {
  missing: 'there is no such file',
  hash: 'its bytes are not those that were named: it is cut, or another',
  format: 'it is no ONNX file of Holdfast',
  schema: 'it reads other features than are made here',
  shape: 'its outputs have another shape or type',
  'not a number': 'it gives a probability that is none',
  golden: 'it gives its golden rows other probabilities than it says',
  batch: 'what it gives a row depends on the batch that the row is in',
} as const
export type Refusal = keyof typeof REFUSALS

const OPTIONS: InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  // Nothing: what is wrong with a file is said by its refusal.
  logSeverityLevel: 4,
}

/** What was said of the rows of a batch: row by row, each window by its place in the manifest. */
export interface Scores {
  /** Calibrated, never falling from a window to one that contains it. */
  readonly p: Float32Array
  /** Of p, cut. */
  readonly logit: Float32Array
  /** Conversions expected. */
  readonly count: Float32Array
}

export class OnnxModel {
  readonly manifest: Manifest
  readonly sha256: string
  readonly #session: InferenceSession

  private constructor(manifest: Manifest, sha256: string, session: InferenceSession) {
    this.manifest = manifest
    this.sha256 = sha256
    this.#session = session
  }

  /** Throws MODEL_REFUSED with the reason (OM1). `bytes` null: there is no file. `sha256`, hex: of the bytes that are meant. */
  static async load(bytes: Uint8Array | null, sha256?: string): Promise<OnnxModel> {
    if (bytes === null) throw refused('missing')
    const own = createHash('sha256').update(bytes).digest('hex')
    if (sha256 !== undefined && sha256 !== own) throw refused('hash', { sha256, found: own })
    const manifest = manifestIn(bytes)
    if (manifest === null) throw refused('format')
    if (manifest.features !== FEATURES_RELEASE)
      throw refused('schema', { features: manifest.features, made: FEATURES_RELEASE })
    const session = await InferenceSession.create(bytes, OPTIONS).catch((cause: unknown) => {
      throw refused('format', { detail: messageOf(cause) })
    })
    const model = new OnnxModel(manifest, own, session)
    try {
      await model.#prove()
    } catch (cause) {
      await model.close()
      throw cause
    }
    return model
  }

  /** Windows that it answers for. */
  get windows(): number {
    return this.manifest.windows.length
  }

  /** What it says of rows, whose touches are of these kinds. */
  async score(rows: Rows, kinds: readonly TouchKind[]): Promise<Scores> {
    const { indices, values, width } = paddedTo(rows, this.manifest.bits)
    const shape = [rows.count, width]
    const feeds = {
      [INPUTS.indices]: new Tensor(indices, shape),
      [INPUTS.values]: new Tensor(values, shape),
      [INPUTS.kinds]: new Tensor(
        Int32Array.from(kinds, (kind) => TOUCH_KINDS.indexOf(kind)),
        [rows.count],
      ),
    }
    const said = await this.#session.run(feeds).catch((cause: unknown) => {
      throw refused('shape', { detail: messageOf(cause) })
    })
    const of = (name: string) => table(said, name, { rows: rows.count, windows: this.windows })
    return { p: of(OUTPUTS.p), logit: of(OUTPUTS.logit), count: of(OUTPUTS.count) }
  }

  async close(): Promise<void> {
    await this.#session.release()
  }

  async #prove(): Promise<void> {
    const { golden } = this.manifest
    if (golden.length === 0) throw refused('golden', { rows: 0 })
    const asked = goldenOf(this.manifest)
    const said = await this.score(asked.rows, asked.kinds)
    const { p, count } = said
    for (const [row, told] of golden.entries())
      for (let window = 0; window < this.windows; window++) {
        const place = row * this.windows + window
        if (!(p[place]! > 0 && p[place]! < 1)) throw refused('not a number', { row, window, p: String(p[place]) })
        if (!Number.isFinite(count[place]!)) throw refused('not a number', { row, window, count: String(count[place]) })
        for (const [found, must] of [
          [p[place]!, told.p[window]!],
          [count[place]!, told.count[window]!],
        ] as const) {
          const isNear = Math.abs(found - must) <= GOLDEN_ERROR_MAX * Math.max(1, must)
          if (!isNear) throw refused('golden', { row, window, found, told: String(must) })
        }
      }
    await this.#proveAlone(asked, said)
  }

  /** Each golden row alone, and all of them beside one that is far off. */
  async #proveAlone({ rows, kinds }: GoldenRows, together: Scores): Promise<void> {
    const beside = new Rows()
    for (const [row, kind] of kinds.entries()) {
      const one = new Rows()
      copyRow(rows, row, one)
      copyRow(rows, row, beside)
      this.#same(await this.score(one, [kind]), together, row, 1)
    }
    beside.push(LAST_KEYS, FAR_OFF)
    this.#same(await this.score(beside, [...kinds, 'click']), together, 0, kinds.length)
  }

  /** Whether the first `rows` of a batch got what they got as those from `first` on of another. */
  #same(batch: Scores, other: Scores, first: number, rows: number): void {
    for (const output of ['p', 'count'] as const)
      for (let place = 0; place < rows * this.windows; place++) {
        const [here, there] = [batch[output][place]!, other[output][first * this.windows + place]!]
        const row = first + Math.floor(place / this.windows)
        if (here !== there) throw refused('batch', { row, output, here, there })
      }
  }
}

/** Throws MODEL_REFUSED where they are none. */
function goldenOf(manifest: Manifest): GoldenRows {
  try {
    return goldenRowsOf(manifest)
  } catch (cause) {
    throw refused('format', { detail: messageOf(cause) })
  }
}

function copyRow({ starts, keys, values }: Rows, row: number, into: Rows): void {
  const [from, to] = [starts[row]!, starts[row + 1]!]
  into.push(keys.subarray(from, to), values.subarray(from, to))
}

/** Values that a tensor's own scale would show, and more of them than other rows have. */
const FAR_OFF = Array.from({ length: 3 * WIDTH_MIN }, (_, i) => (i % 2 === 0 ? 1e3 : -1e3))
/** At the last places of the tables: a run fails where those end sooner, and would do so for all touches beside one that reads there. */
const LAST_KEYS = FAR_OFF.map((_, i) => -1 - i)

/** Rows as two tensors (OM2): places that a row does not have are index 0, value 0. */
function paddedTo(rows: Rows, bits: number) {
  const { starts, keys, values: own, count } = rows
  const mask = 2 ** bits - 1
  let width = WIDTH_MIN
  for (let row = 0; row < count; row++) while (width < starts[row + 1]! - starts[row]!) width *= 2
  const indices = new Int32Array(count * width)
  const values = new Float32Array(count * width)
  for (let row = 0; row < count; row++) {
    const from = starts[row]!
    const length = starts[row + 1]! - from
    for (let i = 0; i < length; i++) {
      // Masked: Gather takes a negative index from the end, silently.
      indices[row * width + i] = keys[from + i]! & mask
      values[row * width + i] = own[from + i]!
    }
  }
  return { indices, values, width }
}

function table(
  said: InferenceSession.ReturnType,
  name: string,
  { rows, windows }: { readonly rows: number; readonly windows: number },
): Float32Array {
  const tensor = said[name]
  const [first, second, ...more] = tensor?.dims ?? []
  const isSound = tensor?.type === 'float32' && first === rows && second === windows && more.length === 0
  if (!isSound) throw refused('shape', { output: name, found: `${tensor?.type} [${tensor?.dims}]`, rows, windows })
  return tensor.data as Float32Array
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const refused = (reason: Refusal, facts: Readonly<Record<string, string | number>> = {}): HoldfastError =>
  new HoldfastError('MODEL_REFUSED', REFUSALS[reason], { reason, ...facts })

/** Of a candidate's bytes, for the trainer: why whoever scores would refuse them; null: nobody does. */
export async function candidateRefusal(bytes: Uint8Array): ReturnType<CandidateCheck> {
  try {
    await (await OnnxModel.load(bytes)).close()
    return null
  } catch (error) {
    const reason = GATE_REASONS.find((gate) => error instanceof HoldfastError && error.numbers.reason === gate)
    // What is no file of ours at all is a bug of whoever made it.
    if (reason === undefined) throw error
    return { reason, detail: JSON.stringify((error as HoldfastError).numbers) }
  }
}

const GATE_REASONS = ['golden', 'batch', 'shape', 'not a number'] as const satisfies readonly Refusal[]
