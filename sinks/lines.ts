// Lines of a file as the contract reads them: a line ends at LF, one CR before it is dropped, the last one needs no LF.
// L1: of a line only the first LINE_BYTES_KEPT bytes are kept: longer ones are dead letters in any case, and the log has to
//     carry them. Whether a line is blank, and where it ends, is judged by all of it.
// L2: what comes out does not depend on how the file was cut into chunks.

import { REFUSED_BYTES_KEPT } from '../operators/event.ts'

export interface Line {
  /** From 1, over all lines of the file. */
  readonly number: number
  readonly bytes: Uint8Array
  /** Empty, or of spaces and tabs only: not read at all. */
  readonly blank: boolean
}

/** What a dead letter keeps: in base64 it still fits a frame of 512 KiB. */
export const LINE_BYTES_KEPT = REFUSED_BYTES_KEPT
const LF = 10
const CR = 13
const SPACE = 0x20
const TAB = 0x09

/** Splits chunks of a file into lines; returns how many there were. `skip`: lines that are counted but not handed out. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, skip: number): AsyncGenerator<Line[], number> {
  let number = 0
  let open = new OpenLine()
  for await (const chunk of chunks) {
    const lines: Line[] = []
    let from = 0
    for (let end = chunk.indexOf(LF, from); end !== -1; end = chunk.indexOf(LF, from)) {
      number++
      open.add(chunk.subarray(from, end))
      if (number > skip) lines.push(open.line(number, AT_LF))
      open = new OpenLine()
      from = end + 1
    }
    // A copy: the chunk's memory may be used again.
    open.add(Buffer.from(chunk.subarray(from)))
    if (lines.length > 0) yield lines
  }
  if (open.length === 0) return number
  number++
  if (number > skip) yield [open.line(number, AT_END_OF_FILE)]
  return number
}

const AT_LF = { mayEndInCr: true } as const
const AT_END_OF_FILE = { mayEndInCr: false } as const

/** A line whose end has not come yet. */
class OpenLine {
  #parts: Uint8Array[] = []
  #keptBytes = 0
  /** Bytes so far, kept or not. */
  length = 0
  /** Offset of the first byte that is neither space nor tab. */
  #ink = Number.POSITIVE_INFINITY
  #last = 0

  add(part: Uint8Array): void {
    if (part.length === 0) return
    if (this.#ink === Number.POSITIVE_INFINITY) this.#ink = this.length + inkIn(part)
    this.#last = part[part.length - 1]!
    this.length += part.length
    if (this.#keptBytes >= LINE_BYTES_KEPT) return
    this.#parts.push(part)
    this.#keptBytes += part.length
  }

  line(number: number, { mayEndInCr }: { readonly mayEndInCr: boolean }): Line {
    const length = mayEndInCr && this.#last === CR ? this.length - 1 : this.length
    const kept = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    return { number, bytes: kept.subarray(0, Math.min(length, LINE_BYTES_KEPT)), blank: this.#ink >= length }
  }
}

/** Where the first byte is that is neither space nor tab; Infinity if there is none. */
function inkIn(part: Uint8Array): number {
  for (let i = 0; i < part.length; i++) if (part[i] !== SPACE && part[i] !== TAB) return i
  return Number.POSITIVE_INFINITY
}
