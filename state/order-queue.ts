// A persistent priority queue by order key: records held for the watermark, and timers. Bounded in memory.
// Q1: pop order is the order of the keys' bytes, whatever was committed, spilled or reloaded between.
// Q2: what comes and goes between two cuts never reaches the backend. Survivors of a cut are written in chunks of
//     neighbours, one value each, and nothing is written for a pop: the frontier (greatest key popped so far) says which
//     entries of a chunk are gone. That holds because an entry in a chunk was above the frontier when it was pushed, and a
//     pop returns the least entry. A chunk is deleted when its last entry was popped.
// Q3: an entry pushed at or below the frontier is a straggler, stored under a key of its own. They are few: time moves on.
// Q4: `boundary` parts memory from backend: chunks that begin below it are in the heap, whole; chunks that begin at or above
//     it are in the backend only, but for entries in `far` whose chunk is not written yet. null: everything is in the heap.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Backend, Range } from './backend.ts'
import { allOrdered, compareOrderKeys, KeyWriter, KIND } from './key-layout.ts'
import type { CutBatch, ManagedStore } from './managed-store.ts'
import { OrderHeap } from './order-heap.ts'
import type { OrderKey, OrderQueue, QueueEntry } from './store.ts'

/** Entries in memory before the later half is left to the backend. Some 100 MB of held events of 500 bytes. */
export const QUEUE_MEMORY_ENTRIES = 200_000
/** Entries per chunk: enough to make a put cheap per entry, few enough that a lingering one keeps little alive. */
export const CHUNK_ENTRIES_MAX = 512

interface Chunk {
  /** Key of its first entry, which is its key in the backend. */
  readonly first: OrderKey
  /** Entries not popped yet. */
  live: number
  written: boolean
}

interface Held extends QueueEntry {
  chunk: Chunk | null
  popped: boolean
  readonly straggler: boolean
  /** Stragglers: whether the backend has, or by the cuts taken will have, it. */
  stored: boolean
}

export interface QueueMeta {
  readonly frontier: OrderKey | null
  readonly length: number
}

export interface QueueOptions {
  readonly id: number
  readonly name: string
  readonly memoryEntries: number
}

export class PersistentOrderQueue implements OrderQueue, ManagedStore {
  readonly id: number
  readonly name: string
  readonly #memoryEntries: number
  readonly #backend: Backend
  readonly #heap = new OrderHeap<Held>()
  #far: Held[] = []
  #boundary: OrderKey | null = null
  /** Its time; Infinity if there is no boundary. */
  #boundaryAt = Number.POSITIVE_INFINITY
  #frontier: OrderKey | null
  #length: number
  #refilling = false

  /** Pushed since the last cut, popped ones included. */
  #fresh: Held[] = []
  /** Chunks with entries in the heap. */
  readonly #resident = new Set<Chunk>()
  #deadChunks: Chunk[] = []
  readonly #deadStragglers = new Map<string, OrderKey>()
  /** Chunks of cuts that are not written yet, oldest first. */
  readonly #unwritten: Chunk[][] = []

  private constructor(options: QueueOptions, backend: Backend, meta: QueueMeta | null) {
    this.id = options.id
    this.name = options.name
    this.#memoryEntries = options.memoryEntries
    assert(options.memoryEntries >= 2, 'half of the memory is refilled at once')
    this.#backend = backend
    this.#frontier = meta?.frontier ?? null
    this.#length = meta?.length ?? 0
  }

  /** Loads the head of what the last commit held. */
  static async open(options: QueueOptions, backend: Backend, meta: QueueMeta | null): Promise<PersistentOrderQueue> {
    const queue = new PersistentOrderQueue(options, backend, meta)
    for await (const entries of backend.scan(allOrdered(KIND.straggler, options.id))) {
      for (const [, bytes] of entries)
        for (const { key, value } of decodeChunk(bytes, queue.name)) queue.#reloadStraggler(key, value)
    }
    await queue.#reload(allOrdered(KIND.chunk, options.id))
    return queue
  }

  get length(): number {
    return this.#length
  }

  get needsRefill(): boolean {
    if (this.#boundary === null) return false
    const least = this.#heap.peek()
    if (least === undefined) return true
    return least.key.at >= this.#boundaryAt && compareOrderKeys(least.key, this.#boundary) >= 0
  }

  push(key: OrderKey, value: string): void {
    assert(Number.isSafeInteger(key.at) && key.at >= 0, 'an order time is a whole number of milliseconds from 0')
    const straggler =
      this.#frontier !== null && key.at <= this.#frontier.at && compareOrderKeys(key, this.#frontier) <= 0
    const entry: Held = { key, value, chunk: null, popped: false, straggler, stored: false }
    this.#fresh.push(entry)
    this.#length++
    if (key.at >= this.#boundaryAt && compareOrderKeys(key, this.#boundary!) >= 0) this.#far.push(entry)
    else this.#heap.push(entry)
  }

  peek(): QueueEntry | null {
    assert(!this.needsRefill, `${this.name}: peek before refill`)
    return this.#heap.peek() ?? null
  }

  pop(): QueueEntry {
    assert(!this.needsRefill, `${this.name}: pop before refill`)
    const entry = this.#heap.pop()
    assert(entry !== undefined, `${this.name}: pop from an empty queue`)
    entry.popped = true
    this.#length--
    if (entry.straggler) {
      if (entry.stored) this.#deadStragglers.set(JSON.stringify(entry.key), entry.key)
      return entry
    }
    assert(
      this.#frontier === null || compareOrderKeys(entry.key, this.#frontier) > 0,
      'an entry above the frontier is popped once',
    )
    this.#frontier = entry.key
    if (entry.chunk !== null && --entry.chunk.live === 0) {
      this.#resident.delete(entry.chunk)
      this.#deadChunks.push(entry.chunk)
    }
    return entry
  }

  async refill(): Promise<void> {
    const { to } = allOrdered(KIND.chunk, this.id)
    // Once is usually enough; not where what is left of a chunk begins behind the first entry of the next one.
    while (this.needsRefill)
      await this.#reload({ from: new KeyWriter().ordered(KIND.chunk, this.id, this.#boundary!), to })
  }

  /** Entries in memory, for the tests of the bound. */
  get memoryEntries(): number {
    return this.#heap.size + this.#far.length
  }

  // --- what task-state.ts calls ---

  collectMissing(): void {}

  loaded(): number {
    return 0
  }

  takeCut(batch: CutBatch): QueueMeta {
    for (const chunk of this.#deadChunks) batch.delete(batch.writer.ordered(KIND.chunk, this.id, chunk.first))
    this.#deadChunks = []
    this.#putStragglers(batch)
    const survivors = this.#fresh.filter((entry) => !entry.popped && !entry.straggler)
    this.#fresh = []
    survivors.sort((a, b) => compareOrderKeys(a.key, b.key))
    // Chunks do not cross the boundary: each is in the heap or in `far`, whole (Q4).
    const near = this.#boundary === null ? survivors.length : firstAtOrAbove(survivors, this.#boundary)
    const chunks = [
      ...this.#putChunks(batch, survivors.slice(0, near)),
      ...this.#putChunks(batch, survivors.slice(near)),
    ]
    for (const chunk of chunks) if (!this.#beyond(chunk.first)) this.#resident.add(chunk)
    this.#unwritten.push(chunks)
    return { frontier: this.#frontier, length: this.#length }
  }

  written(): void {
    const chunks = this.#unwritten.shift()
    assert(chunks !== undefined, 'only a cut that was taken is written')
    for (const chunk of chunks) chunk.written = true
    if (this.#refilling) return
    this.#dropFar()
    if (this.#heap.size > this.#memoryEntries) this.#spill()
  }

  async *dump(): AsyncIterable<string> {
    const entries: QueueEntry[] = [...this.#heap.values(), ...this.#far]
    if (this.#boundary !== null) {
      const unwritten = this.#farChunks()
      const from = new KeyWriter().ordered(KIND.chunk, this.id, this.#boundary)
      for await (const found of this.#backend.scan({ from, to: allOrdered(KIND.chunk, this.id).to })) {
        for (const [, bytes] of found) {
          const chunk = decodeChunk(bytes, this.name)
          if (!unwritten.has(JSON.stringify(chunk[0]!.key))) entries.push(...this.#notPopped(chunk))
        }
      }
    }
    entries.sort((a, b) => compareOrderKeys(a.key, b.key))
    for (const { key, value } of entries) {
      yield JSON.stringify([this.name, key.at, key.rank, key.type, key.id, key.number, value])
    }
  }

  // --- inside ---

  #beyond(key: OrderKey): boolean {
    return key.at >= this.#boundaryAt && compareOrderKeys(key, this.#boundary!) >= 0
  }

  #setBoundary(boundary: OrderKey | null): void {
    this.#boundary = boundary
    this.#boundaryAt = boundary?.at ?? Number.POSITIVE_INFINITY
  }

  #putStragglers(batch: CutBatch): void {
    for (const entry of this.#fresh) {
      if (!entry.straggler || entry.popped) continue
      entry.stored = true
      this.#deadStragglers.delete(JSON.stringify(entry.key))
      batch.put(batch.writer.ordered(KIND.straggler, this.id, entry.key), encodeChunk([entry]))
    }
    for (const key of this.#deadStragglers.values()) batch.delete(batch.writer.ordered(KIND.straggler, this.id, key))
    this.#deadStragglers.clear()
  }

  #putChunks(batch: CutBatch, sorted: readonly Held[]): Chunk[] {
    const chunks: Chunk[] = []
    for (let from = 0; from < sorted.length; from += CHUNK_ENTRIES_MAX) {
      const entries = sorted.slice(from, from + CHUNK_ENTRIES_MAX)
      const chunk: Chunk = { first: entries[0]!.key, live: entries.length, written: false }
      for (const entry of entries) entry.chunk = chunk
      batch.put(batch.writer.ordered(KIND.chunk, this.id, chunk.first), encodeChunk(entries))
      chunks.push(chunk)
    }
    return chunks
  }

  /** Forgets what the backend has by now. */
  #dropFar(): void {
    if (this.#far.length > 0) this.#far = this.#far.filter((entry) => entry.chunk === null || !entry.chunk.written)
  }

  /** Leaves the later chunks to the backend, until half of the memory is free. */
  #spill(): void {
    const least = this.#heap.peek()!.key
    const chunks = [...this.#resident].sort((a, b) => compareOrderKeys(a.first, b.first))
    let kept = 0
    const boundary = chunks.find((chunk) => {
      kept += chunk.live
      return kept > this.#memoryEntries / 2 && compareOrderKeys(chunk.first, least) > 0
    })
    if (boundary === undefined) return
    this.#setBoundary(boundary.first)
    const near: Held[] = []
    for (const entry of this.#heap.values()) {
      if (!this.#beyond(entry.chunk?.first ?? entry.key)) near.push(entry)
      else if (entry.chunk === null || !entry.chunk.written) this.#far.push(entry)
    }
    for (const chunk of chunks) if (this.#beyond(chunk.first)) this.#resident.delete(chunk)
    this.#heap.reset(near)
  }

  /** Loads chunks in order until half of the memory is full; the next one's key is the new boundary. */
  async #reload(range: Range): Promise<void> {
    assert(!this.#refilling, 'one refill at a time')
    this.#refilling = true
    const chunks: QueueEntry[][] = []
    let boundary: OrderKey | null = null
    let count = 0
    scan: for await (const found of this.#backend.scan(range)) {
      for (const [, bytes] of found) {
        const entries = decodeChunk(bytes, this.name)
        if (count >= this.#memoryEntries / 2) {
          boundary = entries[0]!.key
          break scan
        }
        chunks.push(entries)
        count += entries.length
      }
    }
    this.#refilling = false
    this.#adopt(chunks, boundary)
  }

  #adopt(chunks: readonly QueueEntry[][], boundary: OrderKey | null): void {
    const inFar = this.#farChunks()
    this.#setBoundary(boundary)
    for (const entries of chunks) if (!inFar.has(JSON.stringify(entries[0]!.key))) this.#adoptChunk(entries)
    const far = this.#far
    this.#far = []
    for (const entry of far) {
      if (this.#beyond(entry.chunk?.first ?? entry.key)) {
        this.#far.push(entry)
        continue
      }
      this.#heap.push(entry)
      if (entry.chunk !== null) this.#resident.add(entry.chunk)
    }
    this.#dropFar()
  }

  #adoptChunk(entries: readonly QueueEntry[]): void {
    const live = this.#notPopped(entries)
    if (live.length === 0)
      throw new HoldfastError('STATE_CORRUPT', `queue ${this.name}: a chunk is kept though all of it was popped`)
    const chunk: Chunk = { first: entries[0]!.key, live: live.length, written: true }
    this.#resident.add(chunk)
    for (const { key, value } of live) {
      this.#heap.push({ key, value, chunk, popped: false, straggler: false, stored: false })
    }
  }

  /** What of a chunk is left: the first chunk beyond the boundary may have been popped from, too (Q2). */
  #notPopped(entries: readonly QueueEntry[]): readonly QueueEntry[] {
    const frontier = this.#frontier
    return frontier === null ? entries : entries.filter(({ key }) => compareOrderKeys(key, frontier) > 0)
  }

  #reloadStraggler(key: OrderKey, value: string): void {
    this.#heap.push({ key, value, chunk: null, popped: false, straggler: true, stored: true })
  }

  /** Chunks of entries in `far`, by the text of their first key: the backend may have them, too. */
  #farChunks(): Set<string> {
    const firsts = new Set<string>()
    for (const { chunk } of this.#far) if (chunk !== null) firsts.add(JSON.stringify(chunk.first))
    return firsts
  }
}

function firstAtOrAbove(sorted: readonly Held[], boundary: OrderKey): number {
  const index = sorted.findIndex(({ key }) => compareOrderKeys(key, boundary) >= 0)
  return index === -1 ? sorted.length : index
}

/** Entries as text: per entry a line of numbers with the lengths of the three texts that follow it. */
function encodeChunk(entries: readonly QueueEntry[]): Buffer {
  let text = ''
  for (const { key, value } of entries) {
    text += `${key.at} ${key.rank} ${key.number} ${key.type.length} ${key.id.length} ${value.length}\n`
    text += key.type + key.id + value
  }
  return Buffer.from(text, 'utf8')
}

const CHUNK_LINE = /(\d+) (\d+) (\d+) (\d+) (\d+) (\d+)\n/y

function decodeChunk(bytes: Uint8Array, name: string): QueueEntry[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  const entries: QueueEntry[] = []
  for (let at = 0; at < text.length; ) {
    CHUNK_LINE.lastIndex = at
    const line = CHUNK_LINE.exec(text)
    if (line === null) throw new HoldfastError('STATE_CORRUPT', `queue ${name}: a chunk cannot be read`)
    const [, time, rank, number, typeLength, idLength, valueLength] = line.map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    const type = CHUNK_LINE.lastIndex
    const id = type + typeLength
    const value = id + idLength
    at = value + valueLength
    const key = { at: time, rank, type: text.slice(type, id), id: text.slice(id, value), number }
    entries.push({ key, value: text.slice(value, at) })
  }
  if (entries.length === 0) throw new HoldfastError('STATE_CORRUPT', `queue ${name}: an empty chunk`)
  return entries
}
