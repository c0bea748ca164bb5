// A score on its way and in the hold: as text between stages, as bytes beside the held touch.
// SD1: what is read back is what was written, to the bit: a score has the digits of single precision (MR1), so four bytes keep it.

import type { ByteReader, ByteWriter } from './bytes.ts'
import type { Scored } from './model-records.ts'

/** Digits that tell any two numbers of single precision apart (IEEE 754). */
const SINGLE_DIGITS = 9

const single = new DataView(new ArrayBuffer(4))

/** MR1. */
export const inSingle = (p: number): number => Number(Math.fround(p).toPrecision(SINGLE_DIGITS))

/** JSON: [version, input, p by window]. */
export const scoredText = ({ version, p, input }: Scored): string =>
  `[${version},"${input}"${p.length === 0 ? '' : `,${p}`}]`

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
