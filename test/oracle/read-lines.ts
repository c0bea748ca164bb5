// Oracle, step 1: a file's bytes cut into lines, as contract.md section 1 says. Imports nothing of the project.
//
// 1. A line ends at LF; one CR before that LF is dropped. The last line may lack the LF; a CR at its end then stays.
// 2. Numbers are 1-based over all lines of the file, also those that are not read.
// 3. Empty lines and lines of only spaces and tabs, however long, are not read.

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const TAB = 0x09

/** One line that is read: its number in the file and its bytes, without line end. */
export interface Line {
  readonly number: number
  readonly bytes: Buffer
}

/** The lines of a file that are read, in file order. */
export function* readLines(file: Buffer): Generator<Line> {
  let number = 0
  let start = 0
  while (start < file.length) {
    const lf = file.indexOf(LF, start)
    const bytes = lf < 0 ? file.subarray(start) : file.subarray(start, endBeforeCr(file, start, lf))
    number++
    if (!isBlank(bytes)) yield { number, bytes }
    start = lf < 0 ? file.length : lf + 1
  }
}

function endBeforeCr(file: Buffer, start: number, lf: number): number {
  return lf > start && file[lf - 1] === CR ? lf - 1 : lf
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === SPACE || byte === TAB)
}
