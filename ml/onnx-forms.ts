// What a file of ml/onnx-export.ts adds up, read back from its bytes: to compare two of them weight by weight.

import onnxProto from 'onnx-proto'
import { type CalibrationLine, type LinearForm, type Manifest, manifestIn } from './onnx-export.ts'

const { onnx } = onnxProto
const BYTES_PER_FLOAT = 4

/** The sum of one window. */
export interface ReadForm {
  readonly name: string
  readonly form: LinearForm
  readonly calibration: CalibrationLine
}

/** By window. null: the file is not one of ours, or its tables are not what its manifest says. */
export function formsIn(
  bytes: Uint8Array,
): { readonly manifest: Manifest; readonly forms: readonly ReadForm[] } | null {
  const manifest = manifestIn(bytes)
  if (manifest === null) return null
  const tables = onnx.ModelProto.decode(bytes).graph?.initializer ?? []
  const floats = (name: string): Float32Array => {
    const raw = tables.find((one) => one.name === name)?.rawData ?? new Uint8Array()
    // A copy: in the file's bytes they stand at any place.
    return new Float32Array(new Uint8Array(raw).buffer, 0, Math.floor(raw.length / BYTES_PER_FLOAT))
  }
  const [weights, bias, a, b] = [floats('weights'), floats('bias'), floats('a'), floats('b')]
  const { windows, bits } = manifest
  const places = 2 ** bits
  const isWhole = weights.length === windows.length * places
  if (!isWhole || [bias, a, b].some(({ length }) => length !== windows.length)) return null
  const forms = windows.map(({ name }, w) => ({
    name,
    form: { bias: bias[w]!, weights: weights.subarray(w * places, (w + 1) * places) },
    calibration: { a: a[w]!, b: b[w]! },
  }))
  return { manifest, forms }
}

/** A weight that two files have differently, at one place of their tables. */
export interface WeightChange {
  readonly place: number
  readonly before: number
  readonly after: number
}

/** The `count` weights that differ most, the largest change first; a smaller place before a larger one. */
export function largestChanges(before: Float32Array, after: Float32Array, count: number): WeightChange[] {
  const found: WeightChange[] = []
  const by = ({ before: b, after: a }: WeightChange): number => Math.abs(a - b)
  for (let place = 0; place < after.length; place++) {
    const change = { place, before: before[place]!, after: after[place]! }
    const size = by(change)
    if (size === 0 || (found.length === count && size <= by(found.at(-1)!))) continue
    const at = found.findIndex((other) => by(other) < size)
    found.splice(at === -1 ? found.length : at, 0, change)
    if (found.length > count) found.pop()
  }
  return found
}
