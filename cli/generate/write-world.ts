// The generated world into files: the lines as NDJSON, the truth beside them, both packed if their names end in .gz.
// WW1: the world is made no faster than both files take it: memory does not grow with their size.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { checkWorld, type WorldOptions, world } from './world.ts'
import { Truth } from './world-truth.ts'

/** A megabyte a write: system calls and gzip calls then cost nothing beside making the lines. */
const CHUNK_CHARS = 1 << 20

export interface WorldFiles {
  readonly out: string
  /** Where the truth goes; undefined: nowhere, and it costs nothing. */
  readonly truth: string | undefined
}

/** Writes the whole world. Rejects when a file cannot be written. */
export async function writeWorld(options: WorldOptions, files: WorldFiles): Promise<void> {
  // Before a file is touched.
  checkWorld(options)
  const truth = files.truth === undefined ? null : new Truth()
  const lines = new TextFile(files.out)
  const rows = files.truth === undefined ? null : new TextFile(files.truth)
  try {
    for (const arrivals of world(options, truth)) {
      let text = ''
      for (const arrival of arrivals) text += `${arrival.text}\n`
      await lines.write(text)
      await rows?.write(textOf(truth!))
    }
    await rows?.write(textOf(truth!))
    await Promise.all([lines.end(), rows?.end()])
  } catch (error) {
    lines.destroy()
    rows?.destroy()
    throw error
  }
}

function textOf(truth: Truth): string {
  let text = ''
  for (const row of truth.take()) text += `${JSON.stringify(row)}\n`
  return text
}

/** A text file that is written in large pieces, packed if its name ends in .gz. */
class TextFile {
  readonly #into: Writable
  readonly #file: Writable
  /** Rejects with the first error of either stream; awaited wherever we wait for room. */
  readonly #done: Promise<unknown>
  #text = ''

  constructor(path: string) {
    this.#file = createWriteStream(path)
    this.#into = path.endsWith('.gz') ? createGzip({ level: 1 }) : this.#file
    if (this.#into !== this.#file) (this.#into as ReturnType<typeof createGzip>).pipe(this.#file)
    this.#done = finished(this.#file)
    this.#done.catch(() => {})
  }

  async write(text: string): Promise<void> {
    this.#text += text
    if (this.#text.length >= CHUNK_CHARS) await this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    this.#into.end()
    await this.#done
  }

  destroy(): void {
    this.#into.destroy()
    this.#file.destroy()
  }

  async #flush(): Promise<void> {
    const text = this.#text
    this.#text = ''
    if (text === '' || this.#into.write(text)) return
    const given = new AbortController()
    try {
      await Promise.race([this.#done, once(this.#into, 'drain', { signal: given.signal })])
    } finally {
      given.abort()
    }
  }
}
