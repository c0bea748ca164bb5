// Sorts lines by their bytes without holding them all: sorted runs on disk, and their merge.
// LS1: what comes out are the lines that came in, each with its end, equal ones as often as they came, in the order of their UTF-8
//      bytes: the same bytes whatever the room.
// LS2: of the lines a run's worth is in memory, or a chunk of each run that is merged.
// LS3: what was written on the way is gone when the sort ends, however it ends.
// Inside, a line is a text with one unit for each byte: then `<` is the order of bytes, and nothing read back is decoded.

import { type FileHandle, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../log/errors.ts'

export interface SortRoom {
  /** Bytes of lines, as they lie in memory, that make a run. */
  readonly runBytes: number
  /** Runs on disk, each of them a chunk in memory while they are merged; as many become one. */
  readonly runsMax: number
}

/** Some gigabyte of lines is merged once; a run is no more than what the heap grows by before it is collected. */
export const SORT_ROOM: SortRoom = { runBytes: 24 << 20, runsMax: 64 }

/** What a line takes beside its bytes: head of the text, place in the list. */
const LINE_OVERHEAD_BYTES = 32
/** Bytes read or written at a time. */
const CHUNK_BYTES = 256 << 10

/**
 * The lines in order, as chunks of a file. They may hold no line end. `directory` is made where runs have to be written, and
 * removed with everything in it.
 */
export async function* sortedChunks(
  lines: AsyncIterable<string> | Iterable<string>,
  directory: string,
  room: SortRoom = SORT_ROOM,
): AsyncGenerator<Buffer> {
  let paths: string[] = []
  let runs = 0
  async function writeRun(chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<string> {
    await mkdir(directory, { recursive: true })
    const path = join(directory, String(++runs))
    const file = await open(path, 'wx')
    try {
      for await (const chunk of chunks) await file.appendFile(chunk)
    } finally {
      await file.close()
    }
    return path
  }
  try {
    let held: string[] = []
    let bytes = 0
    for await (const line of lines) {
      held.push(byteText(line))
      bytes += line.length + LINE_OVERHEAD_BYTES
      if (bytes < room.runBytes) continue
      paths.push(await writeRun(chunksOf(sorted(held))))
      held = []
      bytes = 0
      if (paths.length < room.runsMax) continue
      const merged = await writeRun(merge(paths))
      for (const path of paths) await rm(path)
      paths = [merged]
    }
    if (paths.length === 0) {
      yield* chunksOf(sorted(held))
      return
    }
    paths.push(await writeRun(chunksOf(sorted(held))))
    held = []
    yield* merge(paths)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** One unit for each byte. To ask for the bytes also makes one text of those that were put together of many. */
function byteText(line: string): string {
  return Buffer.byteLength(line) === line.length ? line : Buffer.from(line).toString('latin1')
}

const sorted = (lines: string[]): string[] => lines.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))

function* chunksOf(lines: readonly string[]): Generator<Buffer> {
  let text = ''
  for (const line of lines) {
    text += `${line}\n`
    if (text.length < CHUNK_BYTES) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(text, 'latin1')
}

/** Sorted runs as one. */
async function* merge(paths: readonly string[]): AsyncGenerator<Buffer> {
  const readers: RunReader[] = []
  try {
    // In the order of their lines, the first one last: there it is taken and put back.
    const waiting: RunReader[] = []
    for (const path of paths) {
      const reader = new RunReader(await open(path))
      readers.push(reader)
      if (await reader.fill()) putInOrder(waiting, reader)
    }
    let text = ''
    for (let reader = waiting.pop(); reader !== undefined; reader = waiting.pop()) {
      text += `${reader.line}\n`
      if (text.length >= CHUNK_BYTES) {
        yield Buffer.from(text, 'latin1')
        text = ''
      }
      if (reader.next() || (await reader.fill())) putInOrder(waiting, reader)
    }
    yield Buffer.from(text, 'latin1')
  } finally {
    for (const reader of readers) await reader.close()
  }
}

function putInOrder(waiting: RunReader[], reader: RunReader): void {
  let [from, to] = [0, waiting.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if (waiting[middle]!.line > reader.line) from = middle + 1
    else to = middle
  }
  waiting.splice(from, 0, reader)
}

/** The lines of a run, one after the other. */
class RunReader {
  line = ''
  readonly #file: FileHandle
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  #lines: readonly string[] = []
  #at = 0
  /** What is read of a line whose end is not. */
  #begun = ''

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** Goes to the next line, where one is read already. */
  next(): boolean {
    if (this.#at === this.#lines.length) return false
    this.line = this.#lines[this.#at++]!
    return true
  }

  /** Reads on, and goes to the next line; false: there is none. */
  async fill(): Promise<boolean> {
    while (this.#at === this.#lines.length) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, CHUNK_BYTES, null)
      if (bytesRead === 0) {
        assert(this.#begun === '', 'a run ends with the end of a line')
        return false
      }
      const lines = (this.#begun + this.#buffer.toString('latin1', 0, bytesRead)).split('\n')
      this.#begun = lines.pop()!
      this.#lines = lines
      this.#at = 0
    }
    return this.next()
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
