// Finds the events in a body that is read piece by piece, as the bytes that were sent: lines (sinks/lines.ts), or the elements of
// a JSON array.
// BB1: what comes out does not depend on how the body was cut into chunks.
// BB2: of an event only the first LINE_BYTES_KEPT bytes are kept: a longer one is refused in any case.
// BB3: an element that is no JSON is an event to be refused; an array that does not end, or has something behind it, is BAD_JSON.

import { LINE_BYTES_KEPT, linesOf } from '../lines.ts'
import { HttpError } from './errors.ts'

type Chunks = AsyncIterable<Uint8Array>

/** Chunks up to `bytesMax` bytes; what is beyond is 413. */
export async function* boundedChunks(chunks: Chunks, bytesMax: number): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > bytesMax) {
      const message = `an upload has at most ${bytesMax} bytes: send the rest in another one`
      throw new HttpError({ status: 413, code: 'BODY_TOO_LARGE', message, headers: { connection: 'close' } })
    }
    yield chunk
  }
}

/** The lines that are not blank, as contract.md, section 1, reads them. */
export async function* eventLines(chunks: Chunks): AsyncGenerator<Uint8Array[]> {
  for await (const lines of linesOf(chunks, 0)) {
    yield lines.filter(({ blank }) => !blank).map(({ bytes }) => bytes)
  }
}

/** The elements of a JSON array. Throws 400 where the text is none (BB3). */
export async function* eventElements(chunks: Chunks): AsyncGenerator<Uint8Array[]> {
  const array = new OpenArray()
  for await (const chunk of chunks) yield array.read(chunk)
  array.end()
}

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c]
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]
const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d

/** A JSON array whose end has not come yet. */
class OpenArray {
  /** Brackets that are open: 0 before and behind the array, 1 between elements and in scalars. */
  #depth = 0
  #inString = false
  #isEscaped = false
  #hasEnded = false
  /** The element that has begun, as far as it was in former chunks; `#ink`: whether there is more than space of it. */
  #parts: Uint8Array[] = []
  #keptBytes = 0
  #ink = false
  /** Behind a comma an element must follow. */
  #isAwaited = false

  read(chunk: Uint8Array): Uint8Array[] {
    const elements: Uint8Array[] = []
    let from = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!
      if (this.#inString) {
        this.#inStringAt(byte)
        continue
      }
      if (isSpace(byte)) continue
      if (this.#depth === 0) {
        this.#begin(byte)
        from = i + 1
        continue
      }
      const isEnd = this.#depth === 1 && byte === CLOSE_ARRAY
      if (isEnd || (this.#depth === 1 && byte === COMMA)) {
        this.#keep(chunk.subarray(from, i))
        this.#close(elements, isEnd)
        from = i + 1
        continue
      }
      this.#ink = true
      if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.#depth++
      else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) this.#depth--
    }
    // A copy: the chunk's memory may be used again.
    if (this.#depth > 0) this.#keep(Buffer.from(chunk.subarray(from)))
    return elements
  }

  end(): void {
    if (!this.#hasEnded) throw notAnArray()
  }

  #inStringAt(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (byte === BACKSLASH) this.#isEscaped = true
    else if (byte === QUOTE) this.#inString = false
  }

  #begin(byte: number): void {
    if (byte !== OPEN_ARRAY || this.#hasEnded) throw notAnArray()
    this.#depth = 1
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0 || this.#keptBytes >= LINE_BYTES_KEPT) return
    const kept = part.subarray(0, LINE_BYTES_KEPT - this.#keptBytes)
    this.#parts.push(kept)
    this.#keptBytes += kept.length
  }

  #close(elements: Uint8Array[], isEnd: boolean): void {
    if (this.#ink) elements.push(trimmed(this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)))
    else if (!isEnd || this.#isAwaited) throw notAnArray()
    this.#parts = []
    this.#keptBytes = 0
    this.#ink = false
    this.#isAwaited = !isEnd
    if (!isEnd) return
    this.#depth = 0
    this.#hasEnded = true
  }
}

function trimmed(bytes: Uint8Array): Uint8Array {
  let [from, to] = [0, bytes.length]
  while (from < to && isSpace(bytes[from]!)) from++
  while (to > from && isSpace(bytes[to - 1]!)) to--
  return bytes.subarray(from, to)
}

const notAnArray = (): HttpError =>
  new HttpError({
    status: 400,
    code: 'BAD_JSON',
    message: 'the body is not a JSON array, from its first byte to its last',
  })
