// The simulated backend: what state/rocks-backend.ts does, in memory, with crashes and write failures on demand.
// MemoryDisk is what survives a process; MemoryBackend is one process's handle on it.
// M1: every batch leaves an undo record, so that a crash can fall back to any of the last commits, like a cut WAL does
//     (reliability.md, D11), and so that a snapshot costs nothing until something is written after it.
// M2: a handle from before a crash is dead: what it still writes is lost, as from a killed process.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Backend, BackendReader, BackendSnapshot, Entry, Range, WriteBatch } from './backend.ts'

/** Batches that can be taken back. More than any simulated commit loop keeps unflushed; older ones need a long-lived snapshot only. */
export const UNDO_BATCHES_MAX = 4096
/** Entries per chunk of a scan. */
const SCAN_CHUNK_ENTRIES = 256

/** Keys as latin1 text, whose order in JavaScript is the order of the bytes. */
type KeyText = string
const textOf = (key: Uint8Array): KeyText => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
const bytesOf = (text: KeyText): Uint8Array => Buffer.from(text, 'latin1')

/** What a key held before a batch; undefined: nothing. */
type Undo = Map<KeyText, Uint8Array | undefined>

export interface MemoryDiskOptions {
  /** Called before each batch is applied, with its number (1, 2, …). May wait; what it throws fails the write. */
  readonly beforeWrite?: (number: number) => void | Promise<void>
}

/** A simulated disk. One handle may be open on it at a time. */
export class MemoryDisk {
  readonly #options: MemoryDiskOptions
  readonly #data = new Map<KeyText, Uint8Array>()
  /** Its keys in order; null: they changed since. */
  #sorted: KeyText[] | null = null
  readonly #undo: Undo[] = []
  #dropped = 0
  #handle: MemoryBackend | null = null
  #failWrites = 0
  /** Batches that no crash takes back. */
  #flushed = 0
  #writes = 0

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options
  }

  /** Opens the disk; throws STATE_LOCKED while another handle is open. */
  open(): MemoryBackend {
    if (this.#handle !== null) throw new HoldfastError('STATE_LOCKED', 'the memory disk is open')
    this.#handle = new MemoryBackend(this)
    return this.#handle
  }

  /** Batches applied and not taken back. */
  get batches(): number {
    return this.#dropped + this.#undo.length
  }

  /** Bytes of keys and values, for the tests of what is kept. */
  get entries(): number {
    return this.#data.size
  }

  /** Kills the process that has the disk open; its last `lostBatches` batches are gone (at most what there is). */
  crash(lostBatches = 0): void {
    if (this.#handle !== null) this.#handle.kill()
    this.#handle = null
    for (let i = 0; i < lostBatches && this.#undo.length > 0 && this.batches > this.#flushed; i++) {
      this.#takeBack(this.#undo.pop()!)
    }
  }

  /** The next `count` writes fail with nothing written. */
  failWrites(count: number): void {
    this.#failWrites = count
  }

  /** For MemoryBackend. */
  flush(): void {
    this.#flushed = this.batches
  }

  /** For MemoryBackend. */
  async apply(batch: WriteBatch, handle: MemoryBackend): Promise<void> {
    await this.#options.beforeWrite?.(++this.#writes)
    if (this.#handle !== handle) throw new Error('the process that wrote this is dead')
    if (this.#failWrites > 0) {
      this.#failWrites--
      throw new HoldfastError('STATE_WRITE_FAILED', 'this write was told to fail')
    }
    const undo: Undo = new Map()
    for (const [from, to] of batch.rangeDeletes) {
      for (const key of this.#keysIn(textOf(from), textOf(to))) this.#set(key, undefined, undo)
    }
    for (const key of batch.deletes) this.#set(textOf(key), undefined, undo)
    for (const [key, value] of batch.puts) this.#set(textOf(key), Uint8Array.from(value), undo)
    this.#undo.push(undo)
    if (this.#undo.length > UNDO_BATCHES_MAX) {
      this.#undo.shift()
      this.#dropped++
    }
  }

  /** For MemoryBackend. */
  released(handle: MemoryBackend): void {
    if (this.#handle === handle) this.#handle = null
  }

  /** The value of a key after `version` batches. For MemoryBackend. */
  read(key: KeyText, version: number): Uint8Array | undefined {
    assert(version >= this.#dropped, 'the snapshot is older than what can be undone')
    for (let i = version - this.#dropped; i < this.#undo.length; i++) {
      const undo = this.#undo[i]!
      if (undo.has(key)) return undo.get(key)
    }
    return this.#data.get(key)
  }

  /** Keys in [from, to) that may have a value after `version` batches, sorted. For MemoryBackend. */
  keysAt(from: KeyText, to: KeyText, version: number): KeyText[] {
    const keys = new Set(this.#keysIn(from, to))
    for (let i = version - this.#dropped; i < this.#undo.length; i++) {
      for (const key of this.#undo[i]!.keys()) if (key >= from && key < to) keys.add(key)
    }
    return [...keys].sort(byText)
  }

  #keysIn(from: KeyText, to: KeyText): KeyText[] {
    this.#sorted ??= [...this.#data.keys()].sort(byText)
    return this.#sorted.slice(placeOf(this.#sorted, from), placeOf(this.#sorted, to))
  }

  #set(key: KeyText, value: Uint8Array | undefined, undo: Undo): void {
    if (!undo.has(key)) undo.set(key, this.#data.get(key))
    this.#store(key, value)
  }

  #takeBack(undo: Undo): void {
    for (const [key, value] of undo) this.#store(key, value)
  }

  #store(key: KeyText, value: Uint8Array | undefined): void {
    if (this.#data.has(key) !== (value !== undefined)) this.#sorted = null
    if (value === undefined) this.#data.delete(key)
    else this.#data.set(key, value)
  }
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Where in a sorted list the keys from this one on begin. */
function placeOf(sorted: readonly KeyText[], key: KeyText): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

const LATEST = Number.MAX_SAFE_INTEGER

/** One process's handle on a MemoryDisk. */
export class MemoryBackend implements Backend {
  readonly #disk: MemoryDisk
  #alive = true
  #queue: Promise<void> = Promise.resolve()

  constructor(disk: MemoryDisk) {
    this.#disk = disk
  }

  async multiGet(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]> {
    return this.#reader(null).multiGet(keys)
  }

  scan(range: Range): AsyncIterable<readonly Entry[]> {
    const snapshot = this.snapshot()
    return releasing(snapshot.scan(range), snapshot)
  }

  async last(range: Range, count: number): Promise<readonly Entry[]> {
    return this.#reader(null).last(range, count)
  }

  /** Batches are applied one after another in the order of the calls (B1). */
  write(batch: WriteBatch): Promise<void> {
    this.#assertAlive()
    const done = this.#queue.then(() => this.#disk.apply(batch, this))
    this.#queue = done.catch(() => {})
    return done
  }

  snapshot(): BackendSnapshot {
    this.#assertAlive()
    let released = false
    const reader = this.#reader(this.#disk.batches, () => assert(!released, 'read from a released snapshot'))
    return {
      ...reader,
      release: () => {
        released = true
      },
    }
  }

  async flush(): Promise<void> {
    await this.#queue
    this.#disk.flush()
  }

  async close(): Promise<void> {
    await this.#queue
    this.#alive = false
    this.#disk.released(this)
  }

  /** For MemoryDisk.crash. */
  kill(): void {
    this.#alive = false
  }

  #assertAlive(): void {
    if (!this.#alive) throw new Error('the backend is closed')
  }

  #reader(version: number | null, check: () => void = () => {}): BackendReader {
    const disk = this.#disk
    const ready = (): void => {
      this.#assertAlive()
      check()
    }
    return {
      multiGet: async (keys) => {
        ready()
        return keys.map((key) => {
          const value = disk.read(textOf(key), version ?? disk.batches)
          return value === undefined ? null : Uint8Array.from(value)
        })
      },
      last: async (range, count) => {
        assert(Number.isSafeInteger(count) && count >= 0, 'as many entries as a whole number says')
        ready()
        const at = version ?? LATEST
        const entries: Entry[] = []
        for (const key of disk.keysAt(textOf(range.from), textOf(range.to), at).reverse()) {
          if (entries.length === count) break
          const value = disk.read(key, at)
          if (value !== undefined) entries.push([bytesOf(key), Uint8Array.from(value)])
        }
        return entries.reverse()
      },
      scan: async function* (range) {
        ready()
        const at = version ?? LATEST
        const keys = disk.keysAt(textOf(range.from), textOf(range.to), at)
        let chunk: Entry[] = []
        for (const key of keys) {
          const value = disk.read(key, at)
          if (value === undefined) continue
          chunk.push([bytesOf(key), Uint8Array.from(value)])
          if (chunk.length < SCAN_CHUNK_ENTRIES) continue
          yield chunk
          ready()
          chunk = []
        }
        if (chunk.length > 0) yield chunk
      },
    }
  }
}

/** The same chunks; the snapshot is released when the reader is done or gives up. */
async function* releasing<T>(chunks: AsyncIterable<T>, snapshot: BackendSnapshot): AsyncIterable<T> {
  try {
    yield* chunks
  } finally {
    snapshot.release()
  }
}
