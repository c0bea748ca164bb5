// Numbers and chains what a writer computes for one destination: pure, the same for an owner and for its standby.
// N1: records are numbered 1, 2, 3 … without a gap; the chain after record n is a function of the records 1 … n alone.
// Publishing them, and what is published already, is log/writer.ts.

import { assert } from './errors.ts'
import { Chain, chainRecords, cutFrame, encodeFrame, FRAME_BYTES_MAX, FrameRecords, frameFrom } from './frame.ts'
import type { Destination } from './recovery.ts'

/** Messages of one atomic batch; the server's limit. */
export const ATOMIC_BATCH_MAX = 1_000
/** Bytes of records in one atomic batch, which the server holds in memory and a stream must have room for at once. */
export const ATOMIC_BATCH_BYTES_MAX = 8 * 1024 * 1024

/** Bytes of one record: with its headers it fits the max_payload of 1 MiB, or it would be tried for ever. */
export const RECORD_BYTES_MAX = 960 * 1024

/**
 * Characters of records that are made bytes at once. A commit is as large as what falls due together, which is nearly everything where an
 * input is drained, and V8 has no text above 512 Mi characters. Some atomic batches.
 */
export const ENCODED_CHARS_MAX = 16 * 1024 * 1024

interface ChunkLimits {
  readonly records: number
  readonly bytes: number
}

const CHUNK_LIMITS: Readonly<Record<Destination['mode'], ChunkLimits>> = {
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

  /**
   * Numbers and chains the records of one commit: `count` of them, in texts of one or several (joinRecords). Synchronous: part
   * of the commit's cut.
   */
  take(texts: readonly string[], watermark: number, covered: Position, count: number = texts.length): Outbox {
    const before = this.#computed
    const chunks: Chunk[] = []
    let after = before
    for (const some of inParts(texts)) {
      for (const chunk of inChunks(some, after, CHUNK_LIMITS[this.#mode])) chunks.push(chunk)
      after = chunks.at(-1)!.after
    }
    assert(after.number === before.number + count, 'a record is JSON text without line ends')
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

/** Records in one chunk, however many. */
export function chunkOf(records: readonly string[], before: Computed): Chunk {
  const payload = encodeFrame(records)
  const chain = Chain.fromHex(before.chain)
  const count = chainRecords(chain, payload)
  assert(count === records.length, 'a record is JSON text without line ends')
  return { payload, before, after: { number: before.number + count, chain: chain.hex } }
}

/** Texts in parts of up to ENCODED_CHARS_MAX, or of one that is longer. */
function* inParts(texts: readonly string[]): Generator<readonly string[]> {
  let from = 0
  let chars = 0
  for (const [i, { length }] of texts.entries()) {
    if (i > from && chars + length > ENCODED_CHARS_MAX) {
      yield texts.slice(from, i)
      ;[from, chars] = [i, 0]
    }
    chars += length
  }
  if (from < texts.length) yield from === 0 ? texts : texts.slice(from)
}

/** As many records in each chunk as its limits allow, at least one. */
function inChunks(texts: readonly string[], start: Computed, limits: ChunkLimits): Chunk[] {
  const chunks: Chunk[] = []
  const payload = encodeFrame(texts)
  const records = new FrameRecords(payload)
  const chain = Chain.fromHex(start.chain)
  let before = start
  let number = start.number
  let from = 0
  let end = 0
  const close = () => {
    const { first, rest } = cutFrame(payload, from, end)
    const after = { number, chain: chain.hex }
    chunks.push({ payload: first, before, after })
    before = after
    from = rest
  }
  for (; records.next(); number++) {
    assert(records.to - records.from <= RECORD_BYTES_MAX, 'a record fits a message')
    const count = number - before.number
    // With its closing bracket.
    if (count > 0 && (count === limits.records || records.to + 1 - from > limits.bytes)) close()
    chain.add(payload, records.from, records.to)
    end = records.to
  }
  close()
  return chunks
}

/** The chain after the first `count` records of a chunk. */
export function chainAt({ payload, before, after }: Chunk, count: number): string {
  if (count === after.number - before.number) return after.chain
  const chain = Chain.fromHex(before.chain)
  chainRecords(chain, payload, count)
  return chain.hex
}

/** A chunk without its first records; there are more than `count`. */
export function withoutFirst(chunk: Chunk, count: number): Chunk {
  const records = new FrameRecords(chunk.payload)
  for (let i = 0; i <= count; i++) assert(records.next(), 'something is left of the chunk')
  const before = { number: chunk.before.number + count, chain: chainAt(chunk, count) }
  return { payload: frameFrom(chunk.payload, records.from), before, after: chunk.after }
}
