// Numbers and chains what a writer computes for one destination: pure, the same for an owner and for its standby.
// N1: records are numbered 1, 2, 3 … without a gap; the chain after record n is a function of the records 1 … n alone.
// Publishing them, and what is published already, is log/writer.ts.

import { assert } from './errors.ts'
import { Chain, chainRecords, encodeFrame, FRAME_BYTES_MAX } from './frame.ts'
import type { Destination } from './recovery.ts'

/** Messages of one atomic batch; the server's limit. */
export const ATOMIC_BATCH_MAX = 1_000
/** Bytes of records in one atomic batch, which the server holds in memory and a stream must have room for at once. */
export const ATOMIC_BATCH_BYTES_MAX = 8 * 1024 * 1024

/** Bytes of one record: with its headers it fits the max_payload of 1 MiB, or it would be tried for ever. */
export const RECORD_BYTES_MAX = 960 * 1024

const CHUNK_LIMITS: Readonly<Record<Destination['mode'], { readonly records: number; readonly bytes: number }>> = {
  frames: { records: Number.POSITIVE_INFINITY, bytes: FRAME_BYTES_MAX },
  records: { records: ATOMIC_BATCH_MAX, bytes: ATOMIC_BATCH_BYTES_MAX },
}

/** Where the writer's computation stands: the last record it made, published or not. */
export interface Computed {
  readonly number: number
  readonly chain: string
}

/** An input position: message sequence and index of the record in it (for a file: line and 0). */
export interface Position {
  readonly seq: number
  readonly index: number
}

/** Records that travel together: the payload of one frame, or one atomic batch cut from it. Encoded and chained once. */
export interface Chunk {
  readonly records: readonly string[]
  readonly payload: Buffer
  readonly before: Computed
  readonly after: Computed
}

/** What one commit publishes to one destination. */
export interface Outbox {
  readonly chunks: readonly Chunk[]
  /** Before the first record and after the last one. */
  readonly before: Computed
  readonly after: Computed
  readonly watermark: number
  readonly covered: Position
}

export class Numbering {
  readonly #mode: Destination['mode']
  #computed: Computed

  constructor(mode: Destination['mode'], computed: Computed) {
    this.#mode = mode
    this.#computed = computed
  }

  get computed(): Computed {
    return this.#computed
  }

  /** Numbers and chains the records of one commit. Synchronous: part of the commit's cut. */
  take(records: readonly string[], watermark: number, covered: Position): Outbox {
    const before = this.#computed
    const chunks = inChunks(records, before, this.#mode)
    const after = chunks.at(-1)?.after ?? before
    this.#computed = after
    return { chunks, before, after, watermark, covered }
  }
}

/** The number and chain before the first record of a writer at a destination. */
export function startOf(writer: string, subject: string): Computed {
  return { number: 0, chain: Chain.start(writer, subject).hex }
}

/** Negative, zero or positive, as a is before, at or after b. */
export function comparePositions(a: Position, b: Position): number {
  return a.seq - b.seq || a.index - b.index
}

export function chunkOf(records: readonly string[], before: Computed): Chunk {
  const payload = encodeFrame(records)
  const chain = Chain.fromHex(before.chain)
  const count = chainRecords(chain, payload)
  assert(count === records.length, 'a record is JSON text without line ends')
  return { records, payload, before, after: { number: before.number + count, chain: chain.hex } }
}

function inChunks(records: readonly string[], start: Computed, mode: Destination['mode']): Chunk[] {
  const chunks: Chunk[] = []
  const bytesOf = measureOf(records)
  let before = start
  for (let from = 0; from < records.length; ) {
    const to = chunkEnd(records, from, mode, bytesOf)
    const chunk = chunkOf(from === 0 && to === records.length ? records : records.slice(from, to), before)
    chunks.push(chunk)
    before = chunk.after
    from = to
  }
  return chunks
}

/** How many bytes a record of these has. One native call that finds all of them in ASCII saves one for each. */
function measureOf(records: readonly string[]): (record: string) => number {
  const text = records.join('')
  return Buffer.byteLength(text) === text.length ? (record) => record.length : (record) => Buffer.byteLength(record)
}

/** Where the chunk that starts at `from` ends: as many records as fit, at least one. */
function chunkEnd(
  records: readonly string[],
  from: number,
  mode: Destination['mode'],
  bytesOf: (record: string) => number,
): number {
  const limits = CHUNK_LIMITS[mode]
  const end = Math.min(records.length, from + limits.records)
  let bytes = 0
  for (let i = from; i < end; i++) {
    const length = bytesOf(records[i]!)
    assert(length <= RECORD_BYTES_MAX, 'a record fits a message')
    // With a separator or bracket of two bytes.
    bytes += length + 2
    if (bytes > limits.bytes && i > from) return i
  }
  return end
}

/** The chain after the first `count` records of a chunk. */
export function chainAt(chunk: Chunk, count: number): string {
  if (count === 0) return chunk.before.chain
  if (count === chunk.records.length) return chunk.after.chain
  return chunkOf(chunk.records.slice(0, count), chunk.before).after.chain
}
