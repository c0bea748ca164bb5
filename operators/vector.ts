// A feature vector: the values of named features for one touch, in the order of a layout, and its bytes.
// VE1: absent is absent: a presence bit says so, and null in JSON. It is never 0 and never the default, which is in the layout and
//      is for the model to put in.
// VE2: one vector has one form: equal values have equal bytes, and bytes that `encode` would not write are STATE_CORRUPT.
// VE3: a vector fits a record of the log, whatever its events say: `vectorBytesMax` is known before any event comes.
// What fills one is operators/vector-values.ts; what may be in one, and its schema hash, topology/features/vectors.ts.

import { isUtf8 } from 'node:buffer'
import { assert } from '../log/errors.ts'
import type { Codec } from '../state/store.ts'
import { corrupt } from './bytes.ts'
import type { FeatureValue, IdList, WeightedIdList } from './feature-values.ts'

/** One feature in a layout. */
export interface VectorField {
  readonly id: string
  readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
  /** What a model gets where the value is absent; null: nothing, it sees that it is absent. */
  readonly default: number | string | null
}

/** The features of a vector, by the bytes of their ids. Plain data: its canonical form is what the schema hash is of. */
export type VectorLayout = readonly VectorField[]

/** By the places of a layout; undefined: absent. */
export type Vector = readonly (FeatureValue | undefined)[]

/** Bytes of one id in a vector: a cross of three ids in quotes. A longer text is no id, and absent. */
export const VECTOR_ID_BYTES_MAX = 512
/** Bytes of one vector: in base64, beside the event that it is of, it fits a frame of 512 KiB. */
export const VECTOR_BYTES_MAX = 256 * 1024
/** Layouts that vectors may have had: whoever reads one on its way has them all at hand, as with the forms of records. */
export const LAYOUTS_MAX = 256

const FLOAT_BYTES = 8
/** Of a text; VECTOR_ID_BYTES_MAX fits. */
const LENGTH_BYTES = 2
/** Entries of a list. */
const COUNT_BYTES = 2

/** Bytes of a layout's largest vector. `entriesMax`: how long the lists of a feature may be. */
export function vectorBytesMax(layout: VectorLayout, entriesMax: (id: string) => number): number {
  const id = LENGTH_BYTES + VECTOR_ID_BYTES_MAX
  const bytes = layout.map((field) => {
    if (field.type === 'float') return FLOAT_BYTES
    if (field.type === 'id') return id
    const entry = field.type === 'id_list' ? id : id + FLOAT_BYTES
    return COUNT_BYTES + entriesMax(field.id) * entry
  })
  return bytes.reduce((sum, one) => sum + one, presenceBytes(layout))
}

/** A value as a vector has it: finite, without -0, of ids that are none too long; absent where nothing is left. */
export function fitted(value: FeatureValue | undefined): FeatureValue | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : undefined
  if (typeof value === 'string') return isId(value) ? value : undefined
  if (value === undefined) return undefined
  const entries = (value as readonly (string | readonly [string, number])[]).filter((entry) =>
    isId(typeof entry === 'string' ? entry : entry[0]),
  )
  return entries.length === 0 ? undefined : (entries as IdList | WeightedIdList)
}

function isId(text: string): boolean {
  if (text.length > VECTOR_ID_BYTES_MAX) return false
  return 3 * text.length <= VECTOR_ID_BYTES_MAX || Buffer.byteLength(text) <= VECTOR_ID_BYTES_MAX
}

const presenceBytes = (layout: VectorLayout): number => Math.ceil(layout.length / 8)

/**
 * Presence bits, the first feature in the lowest bit of the first byte; then what is present, in order: a float as 64 bits, a text
 * behind its length, a list behind its count. All numbers little-endian, of fixed width (VE2). Values are `fitted`.
 */
export function vectorCodec(layout: VectorLayout): Codec<Vector> {
  return {
    encode(vector) {
      assert(vector.length === layout.length, 'a vector has a place for each feature of its layout')
      const bytes = Buffer.alloc(sizeOf(layout, vector))
      const writer = new Writer(bytes, presenceBytes(layout))
      vector.forEach((value, i) => {
        if (value === undefined) return
        bytes[i >> 3]! |= 1 << (i & 7)
        writer.value(layout[i]!, value)
      })
      assert(writer.at === bytes.length, 'a vector is as long as was counted')
      return bytes
    },
    decode(bytes) {
      const bits = presenceBytes(layout)
      const reader = new Reader(bytes, bits)
      const vector = layout.map((field, i) =>
        ((bytes[i >> 3]! >> (i & 7)) & 1) === 1 ? reader.value(field) : undefined,
      )
      for (let i = layout.length; i < 8 * bits; i++)
        if (((bytes[i >> 3]! >> (i & 7)) & 1) === 1) throw corrupt('a vector has a feature that its layout has not')
      if (reader.at !== bytes.length) throw corrupt('a vector is longer than what is in it')
      return vector
    },
  }
}

function sizeOf(layout: VectorLayout, vector: Vector): number {
  const text = (one: string): number => LENGTH_BYTES + Buffer.byteLength(one)
  return vector.reduce<number>((sum, value) => {
    if (value === undefined) return sum
    if (typeof value === 'number') return sum + FLOAT_BYTES
    if (typeof value === 'string') return sum + text(value)
    const entries = value.map((entry: string | readonly [string, number]) =>
      typeof entry === 'string' ? text(entry) : text(entry[0]) + FLOAT_BYTES,
    )
    return entries.reduce((all, one) => all + one, sum + COUNT_BYTES)
  }, presenceBytes(layout))
}

class Writer {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  value({ id, type }: VectorField, value: FeatureValue): void {
    if (type === 'float' && typeof value === 'number') this.#float(value)
    else if (type === 'id' && typeof value === 'string') this.#text(value)
    else {
      assert(typeof value === 'object' && value.length > 0, `${id} is of type ${type}, and says something`)
      this.at = this.#bytes.writeUInt16LE(value.length, this.at)
      for (const entry of value) {
        assert((typeof entry === 'string') === (type === 'id_list'), `${id} is of type ${type}`)
        if (typeof entry === 'string') this.#text(entry)
        else {
          this.#text(entry[0])
          this.#float(entry[1])
        }
      }
    }
  }

  #float(value: number): void {
    assert(Number.isFinite(value) && !Object.is(value, -0), 'a float of a vector is finite and no -0')
    this.at = this.#bytes.writeDoubleLE(value, this.at)
  }

  #text(value: string): void {
    const length = this.#bytes.write(value, this.at + LENGTH_BYTES, 'utf8')
    this.#bytes.writeUInt16LE(length, this.at)
    this.at += LENGTH_BYTES + length
  }
}

class Reader {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = 0
    this.#take(at)
  }

  value({ type }: VectorField): FeatureValue {
    if (type === 'float') return this.#float()
    if (type === 'id') return this.#text()
    const count = this.#bytes.readUInt16LE(this.#take(COUNT_BYTES))
    if (count === 0) throw corrupt('a list of a vector is empty')
    return type === 'id_list'
      ? Array.from({ length: count }, () => this.#text())
      : Array.from({ length: count }, () => [this.#text(), this.#float()] as const)
  }

  #float(): number {
    const value = this.#bytes.readDoubleLE(this.#take(FLOAT_BYTES))
    if (!Number.isFinite(value) || Object.is(value, -0)) throw corrupt('a float of a vector is none')
    return value
  }

  #text(): string {
    const length = this.#bytes.readUInt16LE(this.#take(LENGTH_BYTES))
    if (length > VECTOR_ID_BYTES_MAX) throw corrupt('an id of a vector is too long')
    const from = this.#take(length)
    const bytes = this.#bytes.subarray(from, this.at)
    if (!isUtf8(bytes)) throw corrupt('an id of a vector is no UTF-8')
    return bytes.toString('utf8')
  }

  /** Where the next `count` bytes begin. */
  #take(count: number): number {
    if (this.at + count > this.#bytes.length) throw corrupt('a vector ends too early')
    this.at += count
    return this.at - count
  }
}

/** By the ids of the layout, null where absent: for people and models. */
export function vectorJson(layout: VectorLayout, vector: Vector): Record<string, FeatureValue | null> {
  const named: Record<string, FeatureValue | null> = {}
  for (let i = 0; i < layout.length; i++) named[layout[i]!.id] = vector[i] ?? null
  return named
}
