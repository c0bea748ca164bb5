// A small sound model file, and the same with something changed in it: for tests of who refuses what.

import onnxProto from 'onnx-proto'
import { exportOnnx, MANIFEST_KEY, type Manifest, manifestIn, NO_CALIBRATION } from '../../ml/onnx-export.ts'
import { FEATURES_RELEASE } from '../../ml/touch-features.ts'
import { ALONE } from '../../ml/windows.ts'
import { rowsOf } from '../conformance/models.ts'

const { onnx } = onnxProto

export type Proto = InstanceType<typeof onnx.ModelProto>

const BITS = 8
export const SOUND_WINDOW = '7d_click'

/** A version of a model of one window: its weights and its bias follow its number. */
export function soundModel(version: number, parent = version - 1): Uint8Array {
  const weights = Float32Array.from({ length: 2 ** BITS }, (_, i) => Math.sin(version + i))
  const counts = { all: 1, means: new Float32Array(2).fill(1) }
  const form = { bias: -version, weights }
  return exportOnnx(
    [{ name: SOUND_WINDOW, ...ALONE, form, calibration: NO_CALIBRATION, counts }],
    {
      ...{ features: FEATURES_RELEASE, vector: null, version, parent, learned: 10 * version },
      fallback: { pseudoTouches: 20, base: [10, 1], keys: [] },
    },
    {
      rows: rowsOf([
        { keys: [1, -2, 3], values: [1, 1, 0.5] },
        { keys: [], values: [] },
      ]),
      kinds: ['click', 'impression'],
    },
  )
}

/** A file with its graph changed, and its manifest where `change` returns another. */
export function changed(file: Uint8Array, change: (model: Proto, manifest: Manifest) => unknown): Uint8Array {
  const model = onnx.ModelProto.decode(file) as Proto
  const manifest = change(model, manifestIn(file)!) ?? manifestIn(file)!
  model.metadataProps = [onnx.StringStringEntryProto.create({ key: MANIFEST_KEY, value: JSON.stringify(manifest) })]
  return onnx.ModelProto.encode(model).finish()
}

/** A table of the graph. */
export function initializer(model: Proto, name: string) {
  return model.graph!.initializer!.find((one) => one.name === name)!
}

export const floatBytes = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)

export function setFloats(model: Proto, name: string, values: readonly number[]): void {
  initializer(model, name).rawData = floatBytes(values)
}

/** Sums of a row's features come out as a column: another shape. */
export function keepDimensions(model: Proto): void {
  model.graph!.node!.find(({ opType }) => opType === 'ReduceSum')!.attribute![0]!.i = 1
}

/** Adds a little to each count: of all p of the batch, of the least of them, or of logits that golden rows do not have. */
export const coupledCounts = (of: 'all' | 'least' | 'far off') => (model: Proto) => {
  const { node, initializer: tables } = model.graph!
  const single = (name: string, value: number) => {
    const { FLOAT } = onnx.TensorProto.DataType
    tables!.push(onnx.TensorProto.create({ name, dims: [], dataType: FLOAT, rawData: floatBytes([value]) }))
  }
  single('share', 2 ** -22)
  single('far', 50)
  const count = node!.find(({ output }) => output?.[0] === 'count')!
  Object.assign(count, { name: 'alone', output: ['alone'] })
  const nodes = {
    all: [['ReduceSum', ['p'], 'of batch']],
    least: [['ReduceMin', ['p'], 'of batch']],
    'far off': [
      ['Sub', ['greatest', 'far'], 'beyond'],
      ['Relu', ['beyond'], 'far off'],
      ['ReduceSum', ['far off'], 'of batch'],
    ],
  } as const
  for (const [opType, input, output] of [
    ...nodes[of],
    ['Mul', ['of batch', 'share'], 'beside'],
    ['Add', ['alone', 'beside'], 'count'],
  ] as const)
    node!.push(onnx.NodeProto.create({ opType, input: [...input], output: [output], name: output }))
}

/** Gives p in double precision. */
export function doubled(model: Proto): void {
  const { node, output } = model.graph!
  const { DOUBLE } = onnx.TensorProto.DataType
  const sigmoid = node!.find(({ opType }) => opType === 'Sigmoid')!
  Object.assign(sigmoid, { output: ['single p'] })
  const count = node!.find((one) => one.output?.[0] === 'count')!
  count.input = ['single p', ...count.input!.slice(1)]
  const { INT } = onnx.AttributeProto.AttributeType
  const attribute = [{ name: 'to', type: INT, i: DOUBLE }]
  node!.push(onnx.NodeProto.create({ opType: 'Cast', input: ['single p'], output: ['p'], name: 'doubled', attribute }))
  output!.find(({ name }) => name === 'p')!.type!.tensorType!.elemType = DOUBLE
}

/** Puts logits on a grid whose width follows the largest of the batch, as dynamic quantisation does. */
export function coupled(model: Proto): void {
  const graph = model.graph!
  const clip = graph.node!.find(({ opType }) => opType === 'Clip')!
  const add = (opType: string, input: string[], output: string) =>
    graph.node!.splice(
      graph.node!.indexOf(clip),
      0,
      onnx.NodeProto.create({ opType, input, output: [output], name: output }),
    )
  graph.initializer!.push(
    onnx.TensorProto.create({
      name: 'grid',
      dims: [],
      dataType: onnx.TensorProto.DataType.FLOAT,
      rawData: floatBytes([2 ** 22]),
    }),
  )
  add('Abs', ['greatest'], 'size')
  graph.node!.splice(
    graph.node!.indexOf(clip),
    0,
    onnx.NodeProto.create({
      ...{ opType: 'ReduceMax', input: ['size'], output: ['largest'], name: 'largest' },
      attribute: [{ name: 'keepdims', type: onnx.AttributeProto.AttributeType.INT, i: 0 }],
    }),
  )
  add('Div', ['largest', 'grid'], 'step')
  add('Div', ['greatest', 'step'], 'steps')
  add('Round', ['steps'], 'rounded')
  add('Mul', ['rounded', 'step'], 'quantised')
  clip.input![0] = 'quantised'
}
