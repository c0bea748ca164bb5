// A row's keys and values as text that travels with its touch (Scored.input): compact bytes, in base64 because what waits is JSON.
// PR1: unpacked, a row is what was packed, to the bit. What is cut, longer or something else is refused, never read as another row.
// PR2: usual rows, whose values are all 1, carry keys alone.
// Bytes: form (1), nothing (1), keys (2), each key (4), and in the form with values each value (8). Little-endian.

import { assert, HoldfastError } from '../log/errors.ts'
import { FEATURE_VALUE_MAX, ROW_FEATURES_MAX, type Rows } from './rows.ts'

const FORM = { keys: 1, keysAndValues: 2 } as const
const HEAD_BYTES = 4
const KEY_BYTES = 4
const VALUE_BYTES = 8
const ROW_BYTES_MAX = HEAD_BYTES + ROW_FEATURES_MAX * (KEY_BYTES + VALUE_BYTES)
/** Base64 without line ends. */
const charsOf = (bytes: number): number => 4 * Math.ceil(bytes / 3)

/** One row is packed or unpacked at a time. Keys begin where an Int32Array may; values may not, their number of keys being odd or even. */
const scratch = Buffer.from(new ArrayBuffer(ROW_BYTES_MAX))
const keysInScratch = new Int32Array(scratch.buffer, HEAD_BYTES, ROW_FEATURES_MAX)

/** A row of the list as text. */
export function packRow({ starts, keys, values }: Rows, row: number): string {
  const [from, to] = [starts[row]!, starts[row + 1]!]
  const count = to - from
  keysInScratch.set(keys.subarray(from, to))
  let end = HEAD_BYTES + count * KEY_BYTES
  let form: number = FORM.keys
  for (let i = from; i < to; i++) if (!Object.is(values[i], 1)) form = FORM.keysAndValues
  if (form === FORM.keysAndValues) for (let i = from; i < to; i++) end = scratch.writeDoubleLE(values[i]!, end)
  return textOf(form, count, end)
}

/** Of what stands in the scratch, behind the head. */
function textOf(form: number, count: number, end: number): string {
  scratch.writeUInt8(form, 0)
  scratch.writeUInt8(0, 1)
  scratch.writeUInt16LE(count, 2)
  return scratch.toString('base64', 0, end)
}

/** Text of a row whose values are all 1. */
export function packKeys(keys: ArrayLike<number>): string {
  assert(keys.length <= ROW_FEATURES_MAX, 'a row has too many features')
  keysInScratch.set(keys)
  return textOf(FORM.keys, keys.length, HEAD_BYTES + keys.length * KEY_BYTES)
}

/** Adds the row that `packRow` made a text of; gives its number. Throws STATE_CORRUPT where the text is of none. */
export function unpackRow(text: string, into: Rows): number {
  if (text.length > charsOf(ROW_BYTES_MAX)) throw refusal('it is longer than any row')
  const length = scratch.write(text, 'base64')
  // What is no base64 is skipped by who reads it.
  if (length < HEAD_BYTES || charsOf(length) !== text.length) throw refusal('it is no base64, or cut')
  const [form, count] = [scratch[0], scratch.readUInt16LE(2)]
  const isWhole = form === FORM.keys || form === FORM.keysAndValues
  if (!isWhole || scratch[1] !== 0) throw refusal('it has no form that is known')
  const valuesAt = HEAD_BYTES + count * KEY_BYTES
  const end = form === FORM.keys ? valuesAt : valuesAt + count * VALUE_BYTES
  if (count > ROW_FEATURES_MAX || end !== length) throw refusal('it has another length than it says')
  const keys = keysInScratch.subarray(0, count)
  if (form === FORM.keys) return into.push(keys)
  const values = Float64Array.from(keys, (_, i) => scratch.readDoubleLE(valuesAt + i * VALUE_BYTES))
  if (!values.every((value) => Math.abs(value) <= FEATURE_VALUE_MAX)) throw refusal('a value of it is none')
  return into.push(keys, values)
}

const refusal = (why: string): HoldfastError => new HoldfastError('STATE_CORRUPT', `the input of a row: ${why}`)
