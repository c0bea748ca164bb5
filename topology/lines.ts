// Lines of a file as the contract reads them: a line ends at LF, one CR before it is dropped, the last one needs no LF.
// Only the first LINE_BYTES_KEPT bytes of a line are kept: longer ones are dead letters in any case, and the log has to
// carry them (see docs/limits.md); `truncated` says so.

export interface Line {
  /** From 1, over all lines of the file. */
  readonly number: number
  readonly bytes: Uint8Array
  readonly truncated: boolean
}

/** In base64 this still fits a frame of 512 KiB. */
export const LINE_BYTES_KEPT = 256 * 1024
const LF = 10
const CR = 13

/** Splits chunks of a file into lines; returns how many there were. `skip`: lines that are counted but not handed out. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, skip: number): AsyncGenerator<Line[], number> {
  let number = 0
  let rest: Uint8Array[] = []
  let restBytes = 0

  const finish = (last: Uint8Array, hasEnd: boolean): Line => {
    const whole = rest.length === 0 ? last : Buffer.concat([...rest, last])
    const length = restBytes + last.length
    rest = []
    restBytes = 0
    const cut = hasEnd && whole.at(-1) === CR && whole.length === length ? whole.subarray(0, -1) : whole
    return { number, bytes: cut.subarray(0, LINE_BYTES_KEPT), truncated: length > LINE_BYTES_KEPT }
  }

  for await (const chunk of chunks) {
    const lines: Line[] = []
    let from = 0
    for (let end = chunk.indexOf(LF, from); end !== -1; end = chunk.indexOf(LF, from)) {
      number++
      const line = finish(chunk.subarray(from, end), true)
      if (number > skip) lines.push(line)
      from = end + 1
    }
    const tail = chunk.subarray(from)
    // What is kept of an endless line is bounded; its length goes on being counted.
    if (tail.length > 0 && restBytes <= LINE_BYTES_KEPT + 1) rest.push(tail.slice())
    restBytes += tail.length
    if (lines.length > 0) yield lines
  }
  if (restBytes > 0) {
    number++
    const line = finish(new Uint8Array(0), false)
    if (number > skip) yield [line]
  }
  return number
}

/** Whether a line is read at all: empty lines and lines of only spaces and tabs are not. */
export function isBlank(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0x20 && byte !== 0x09) return false
  return true
}
