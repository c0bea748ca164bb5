// A score on its way and in the hold: as text between stages, as bytes beside the held touch.
// SD1: what is read back is what was written, to the bit: a score has the digits of single precision (MR1), so four bytes keep it.

import { approximate } from '../log/frame.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'
import type { Scored } from './model-records.ts'

/** Digits that tell any two numbers of single precision apart (IEEE 754). */
const SINGLE_DIGITS = 9

const single = new DataView(new ArrayBuffer(4))

/** Powers of ten that are exact in double precision. */
const TENS = Array.from({ length: 23 }, (_, power) => Number(`1e${power}`))
const [WHOLE_MIN, WHOLE_MAX] = [TENS[SINGLE_DIGITS - 1]!, TENS[SINGLE_DIGITS]! - 1]
/** How far a product may be from what it stands for, and more: nearer to a half than that, only text says how it is rounded. */
const HALF_MAX = 0.5 - 1e-6

/** MR1. As `toPrecision` rounds, at a third of its cost: digits as a whole number, divided by an exact power of ten, are rounded once. */
export function inSingle(p: number): number {
  const own = Math.fround(p)
  let power = SINGLE_DIGITS - 1
  while (own * TENS[power]! < WHOLE_MIN && power < TENS.length - 1) power++
  const scaled = own * TENS[power]!
  const whole = Math.round(scaled)
  const isSure = scaled >= WHOLE_MIN && scaled <= WHOLE_MAX && Math.abs(scaled - whole) < HALF_MAX
  return isSure ? whole / TENS[power]! : Number(own.toPrecision(SINGLE_DIGITS))
}

/** JSON: [version, input, p by window]; p is approximate. */
export const scoredText = ({ version, p, input }: Scored): string =>
  `[${version},"${input}"${p.length === 0 ? '' : approximate(`,${p}`)}]`

/** The same as a list, for a payload that is JSON. */
export const scoredList = ({ version, p, input }: Scored): unknown => [version, input, ...p]

/** Of what scoredText has written, parsed, or of scoredList. */
export function scoredOf(json: unknown): Scored {
  const [version, input, ...p] = json as [version: number, input: string, ...p: number[]]
  return { version, p, input }
}

/** Bytes: version, how many windows, p of each, and the input behind its length. */
export function writeScored({ version, p, input }: Scored, writer: ByteWriter): void {
  writer.varint(version)
  writer.varint(p.length)
  for (const one of p) {
    single.setFloat32(0, one)
    writer.bytes(new Uint8Array(single.buffer))
  }
  const bytes = Buffer.from(input, 'base64')
  writer.varint(bytes.length)
  writer.bytes(bytes)
}

export function scoredIn(reader: ByteReader): Scored {
  const version = reader.varint()
  const p = reader.list(() => inSingle(reader.bytes(single.byteLength).readFloatBE()))
  return { version, p, input: reader.sized().toString('base64') }
}
