// Logistic regressions over hashed features, one for each window, as one ONNX file, which says of itself what it is.
//   logit of a window = a (bias + Σ weights[index] value) + b     a, b: its calibration, 1 and 0 where there is none
//   p = sigmoid(greatest logit of the windows within it, for the kind of the touch)     count = p mean[advertiser]
// OX1: equal weights and manifest give equal bytes: a version is named by their SHA-256.
// OX2: what a row gets is that of the row alone: no operation below mixes rows, and sums run over the row's own features.
// OX3: p is within (0, 1) in single precision too: logits are cut at LOGIT_CUT, which moves no p by more than 1e-6.
// OX4: the manifest is in the file (metadata_props), with golden rows: what this program, in double, says of some rows.
// OX5: p of a window is at least that of each window within it (ml/windows.ts), by the graph itself.
// Indices are 32 bits: 64 cost a quarter more.

import onnxProto from 'onnx-proto'
import { assert } from '../log/errors.ts'
import type { CountMeans } from './expected-count.ts'
import type { FallbackTable } from './fallback.ts'
import { LOGIT_CUT, sigmoid } from './logistic.ts'
import { packRow, unpackRow } from './packed-rows.ts'
import { Rows } from './rows.ts'
import { schemaHash } from './touch-features.ts'
import { servedOf, TOUCH_KINDS, type TouchKind, type Within } from './windows.ts'

const { onnx } = onnxProto

/** Key of the manifest among the file's metadata. */
export const MANIFEST_KEY = 'holdfast'
/** Of the manifest and the graph's inputs and outputs. */
export const ONNX_RELEASE = 2
/** Of [rows, features], but for `kinds`: places in TOUCH_KINDS, of [rows]. */
export const INPUTS = { indices: 'indices', values: 'values', kinds: 'kinds' } as const
/** Each of [rows, windows]. */
export const OUTPUTS = { p: 'p', logit: 'logit', count: 'count' } as const

const OPSET = 17
const IR_VERSION = 8
/** Added to the logits of windows that are not within another: below all that any model says. */
const APART = -1e30

/** What a model adds up: logit = bias + Σ weights[key & (weights.length - 1)] value. */
export interface LinearForm {
  readonly bias: number
  /** 2^bits of them. */
  readonly weights: Float32Array
}

export interface CalibrationLine {
  readonly a: number
  readonly b: number
}

export const NO_CALIBRATION: CalibrationLine = { a: 1, b: 0 }

/** All that answers for one window. */
export interface WindowForm extends Within {
  readonly name: string
  readonly form: LinearForm
  readonly calibration: CalibrationLine
  readonly counts: CountMeans
}

/** A row (ml/packed-rows.ts), and what it must get, by window. */
export interface GoldenRow {
  readonly input: string
  readonly kind: TouchKind
  readonly p: readonly number[]
  readonly count: readonly number[]
}

/** A window as a file says it. */
export interface ManifestWindow extends Within {
  readonly name: string
  readonly calibration: CalibrationLine
}

export interface Manifest extends ManifestFacts {
  readonly release: number
  /** Hash of features and vector. */
  readonly schema: string
  /** By their places in outputs. */
  readonly windows: readonly ManifestWindow[]
  readonly bits: number
  readonly golden: readonly GoldenRow[]
}

export interface ManifestFacts {
  /** Where goals are declared: whose conversions. */
  readonly goal?: string | undefined
  /** Which features its keys are of (ml/touch-features.ts): a scorer refuses another. */
  readonly features: number
  /** Schema of the vectors that were among them; null: there were none. */
  readonly vector: string | null
  /** Its number, and that of the version that was live when it was made; 0: none, as of a file that no trainer published. */
  readonly version: number
  readonly parent: number
  /** Rows learned. */
  readonly learned: number
  /** What answers where the graph cannot. */
  readonly fallback: FallbackTable
}

/** Rows to be asked, with the kinds of their touches. */
export interface GoldenRows {
  readonly rows: Rows
  readonly kinds: readonly TouchKind[]
}

/** What the graph says of a row, computed here in double. */
export function answerOf(
  windows: readonly WindowForm[],
  kind: TouchKind,
  rows: Rows,
  row: number,
): Pick<GoldenRow, 'p' | 'count'> {
  const [from, to] = [rows.starts[row]!, rows.starts[row + 1]!]
  const own = Float64Array.from(windows, ({ form, calibration }) => {
    const mask = form.weights.length - 1
    let logit = form.bias
    for (let i = from; i < to; i++) logit += form.weights[rows.keys[i]! & mask]! * rows.values[i]!
    return sigmoid(Math.min(Math.max(calibration.a * logit + calibration.b, -LOGIT_CUT), LOGIT_CUT))
  })
  const p = new Float64Array(own.length)
  servedOf(windows, kind, own, p)
  const count = windows.map(({ counts: { all, means } }, window) => {
    const mean = from === to ? all : all + (means[rows.keys[from]! & (means.length - 1)]! - all) * rows.values[from]!
    return p[window]! * mean
  })
  return { p: [...p], count }
}

/** Bytes of the file. `golden`: rows that whoever loads it asks first; some that were learned, and one without features. */
export function exportOnnx(windows: readonly WindowForm[], facts: ManifestFacts, golden: GoldenRows): Uint8Array {
  const bits = Math.log2(windows[0]!.form.weights.length)
  assert(Number.isSafeInteger(bits), 'a table has a power of two of places')
  const isFound = ({ counts, form }: WindowForm) => form.weights.length % counts.means.length === 0
  assert(windows.every(isFound), 'the place of a mean follows from that of a weight')
  const manifest: Manifest = {
    ...{ release: ONNX_RELEASE, ...facts, schema: schemaHash(facts), bits },
    windows: windows.map(({ name, click, impression, calibration }) => ({ name, click, impression, calibration })),
    golden: golden.kinds.map((kind, row) => ({
      ...{ input: packRow(golden.rows, row), kind, ...answerOf(windows, kind, golden.rows, row) },
    })),
  }
  const model = onnx.ModelProto.create({
    ...{ irVersion: IR_VERSION, producerName: 'holdfast', opsetImport: [{ domain: '', version: OPSET }] },
    metadataProps: [{ key: MANIFEST_KEY, value: JSON.stringify(manifest) }],
    graph: graphOf(windows),
  })
  return onnx.ModelProto.encode(model).finish()
}

/** The golden rows of a file, to be asked. */
export function goldenRowsOf({ golden }: Manifest): GoldenRows {
  const rows = new Rows()
  for (const { input } of golden) unpackRow(input, rows)
  return { rows, kinds: golden.map(({ kind }) => kind) }
}

function graphOf(windows: readonly WindowForm[]) {
  const { indices, values, kinds } = INPUTS
  const { INT32, FLOAT } = onnx.TensorProto.DataType
  const column = (of: (window: WindowForm) => number) => windows.map(of)
  const means = sideBySide(windows.map(({ counts: { all, means } }) => means.map((mean) => mean - all)))
  const [places, meanPlaces] = [windows[0]!.form.weights.length, windows[0]!.counts.means.length]
  const W = windows.length
  return {
    name: 'logistic regressions over hashed features',
    input: [
      valueInfo(indices, INT32, ['rows', 'features']),
      valueInfo(values, FLOAT, ['rows', 'features']),
      valueInfo(kinds, INT32, ['rows']),
    ],
    output: Object.values(OUTPUTS).map((name) => valueInfo(name, FLOAT, ['rows', 'windows'])),
    initializer: [
      floats('weights', [W, places], endToEnd(windows.map(({ form }) => form.weights))),
      floats(
        'bias',
        [W],
        column(({ form }) => form.bias),
      ),
      floats(
        'a',
        [W],
        column(({ calibration }) => calibration.a),
      ),
      floats(
        'b',
        [W],
        column(({ calibration }) => calibration.b),
      ),
      floats('apart', [TOUCH_KINDS.length, W, W], apartOf(windows)),
      floats(
        'mean',
        [W],
        column(({ counts }) => counts.all),
      ),
      floats('means', [meanPlaces, W], means),
      floats('least', [], [-LOGIT_CUT]),
      floats('most', [], [LOGIT_CUT]),
      int32s('mean places', [], [meanPlaces]),
      int32s('first', [], [0]),
      ...[1, 2].map((axis) => int64s(`axis ${axis}`, [1], [axis])),
    ],
    node: [
      // [windows, rows, features]: a row's terms lie in a line, so that the runtime adds them up alike in any batch (OX2).
      node('Gather', ['weights', indices], 'gathered', intAttribute('axis', 1)),
      node('Mul', ['gathered', values], 'terms'),
      node('ReduceSum', ['terms', 'axis 2'], 'sums', intAttribute('keepdims', 0)),
      node('Transpose', ['sums'], 'sum'),
      node('Add', ['sum', 'bias'], 'raw'),
      node('Mul', ['raw', 'a'], 'scaled'),
      node('Add', ['scaled', 'b'], 'calibrated'),
      // OX5. [rows, windows, windows within].
      node('Gather', ['apart', kinds], 'apart of kind'),
      node('Unsqueeze', ['calibrated', 'axis 1'], 'each'),
      node('Add', ['apart of kind', 'each'], 'within'),
      node('ReduceMax', ['within'], 'greatest', intAttribute('keepdims', 0), intsAttribute('axes', [2])),
      node('Clip', ['greatest', 'least', 'most'], OUTPUTS.logit),
      node('Sigmoid', [OUTPUTS.logit], OUTPUTS.p),
      // The first feature is the advertiser; its value is 0 where a row has no features.
      node('Gather', [indices, 'first'], 'advertiser', intAttribute('axis', 1)),
      node('Mod', ['advertiser', 'mean places'], 'mean place'),
      node('Gather', ['means', 'mean place'], 'mean of place'),
      node('Gather', [values, 'first'], 'is there', intAttribute('axis', 1)),
      node('Unsqueeze', ['is there', 'axis 1'], 'are there'),
      node('Mul', ['mean of place', 'are there'], 'beside mean'),
      node('Add', ['beside mean', 'mean'], 'conversions'),
      node('Mul', [OUTPUTS.p, 'conversions'], OUTPUTS.count),
    ],
  }
}

/** [kinds, windows, windows]: 0 where the last is within the one before. */
function apartOf(windows: readonly Within[]): number[] {
  return TOUCH_KINDS.flatMap((kind) =>
    windows.flatMap((window) => windows.map((_, place) => (window[kind]?.includes(place) === true ? 0 : APART))),
  )
}

function endToEnd(rows: readonly Float32Array[]): Float32Array {
  const table = new Float32Array(rows.length * rows[0]!.length)
  rows.forEach((row, r) => {
    table.set(row, r * row.length)
  })
  return table
}

/** Columns as one table, row by row. */
function sideBySide(columns: readonly Float32Array[]): Float32Array {
  const table = new Float32Array(columns.length * columns[0]!.length)
  columns.forEach((column, c) => {
    for (let place = 0; place < column.length; place++) table[place * columns.length + c] = column[place]!
  })
  return table
}

type Attribute = ReturnType<typeof intAttribute> | ReturnType<typeof intsAttribute>

const node = (opType: string, input: string[], output: string, ...attribute: Attribute[]) => ({
  ...{ name: output, opType, input, output: [output], attribute },
})

const { AttributeType } = onnx.AttributeProto
const intAttribute = (name: string, i: number) => ({ name, type: AttributeType.INT, i })
const intsAttribute = (name: string, ints: number[]) => ({ name, type: AttributeType.INTS, ints })

const valueInfo = (name: string, elemType: number, dims: readonly string[]) => ({
  name,
  type: { tensorType: { elemType, shape: { dim: dims.map((dimParam) => ({ dimParam })) } } },
})

const { DataType } = onnx.TensorProto
const raw = ({ buffer }: { buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(buffer)
const floats = (name: string, dims: number[], values: ArrayLike<number>) => ({
  ...{ name, dims, dataType: DataType.FLOAT, rawData: raw(Float32Array.from(values)) },
})
const int32s = (name: string, dims: number[], values: readonly number[]) => ({
  ...{ name, dims, dataType: DataType.INT32, rawData: raw(Int32Array.from(values)) },
})
const int64s = (name: string, dims: number[], values: readonly number[]) => ({
  ...{ name, dims, dataType: DataType.INT64, rawData: raw(BigInt64Array.from(values, BigInt)) },
})

/** The manifest in the bytes of a file; null: there is none, or they are no ONNX file. */
export function manifestIn(bytes: Uint8Array): Manifest | null {
  try {
    const { metadataProps } = onnx.ModelProto.decode(bytes)
    const text = metadataProps.find(({ key }) => key === MANIFEST_KEY)?.value
    const manifest = text == null ? null : (JSON.parse(text) as Manifest)
    const isWhole = manifest?.vector !== undefined && Array.isArray(manifest.golden) && Array.isArray(manifest.windows)
    return isWhole && manifest.release === ONNX_RELEASE ? manifest : null
  } catch {
    return null
  }
}
