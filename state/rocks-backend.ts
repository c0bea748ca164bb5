// The real backend: RocksDB, one column family, opened with explicit options.
// R1: every native batch destroys itself and every iterator and snapshot is tracked: close() ends them and so always
//     completes (rocksdb-native waits for them for ever).
// R2: a failed read is STATE_CORRUPT, a failed write STATE_WRITE_FAILED: neither is tried again in this process.
// What RocksDB promises here: a batch is atomic through kill -9; a damaged WAL opens at an older commit, silently
// (reliability.md, D10 and D11); both are safe because the input position is in the batch.

import { mkdirSync } from 'node:fs'
import { assert, HoldfastError } from '../log/errors.ts'
import type { Backend, BackendReader, BackendSnapshot, Entry, Range, WriteBatch } from './backend.ts'
import { RocksDB } from './rocksdb.ts'

/** Entries that the native iterator fetches at once and a scan hands out in one chunk. Keeps a chunk of 128 KiB values at 8 MiB. */
const SCAN_CHUNK_ENTRIES = 64
/** Snapshots of one backend alive at once. Each keeps old versions from compaction; read-snapshot.ts stays far below. */
export const BACKEND_SNAPSHOTS_MAX = 1024

const OPTIONS = {
  createIfMissing: true,
  // Flush and compaction, one each: a task shares its cores with others and with the broker.
  maxBackgroundJobs: 2,
  // Hand written pages to the disk by the megabyte, so that a flush is no burst.
  bytesPerSync: 1 << 20,
  // All files stay open: there are few (64 MiB each), and an open file needs no lookup.
  maxOpenFiles: -1,
  // Open at the newest commit before the damage; anything stricter refuses after an ordinary kill, anything laxer skips commits.
  walRecoveryMode: RocksDB.constants.walRecoveryMode.POINT_IN_TIME,
  bestEffortsRecovery: false,
  // Counters on the hot path that nobody reads.
  enableStatistics: false,
  // Two buffers: one fills while the other is flushed. 16 MiB is some 5 s of commits; the WAL replayed at start is no longer than both.
  writeBufferSize: 16 << 20,
  maxWriteBufferNumber: 2,
  // Point reads dominate: small blocks, and a filter that answers for keys that were never there.
  tableBlockSize: 4096,
  filterPolicy: new RocksDB.BloomFilterPolicy(10),
  // Index and filter blocks stay in memory, some 15 MB per 10 million keys. In the block cache (32 MiB, which the package cannot
  // change) they push each other out, and a read of any key loads a filter of a megabyte (measured: 170 us a record).
  blockCache: true,
  tableCacheIndexAndFilterBlocks: false,
  // Values are small or go with their bucket: a separate blob log would only be a second thing to collect.
  enableBlobFiles: false,
}

/** Operations that a write batch has room for to begin with; it grows. */
const WRITE_CAPACITY = 1_024

type EntryStream = ReturnType<RocksDB['iterator']>

/** Opens (or creates) the database in `path`. Throws STATE_LOCKED while another process has it, STATE_CORRUPT if it does not open. */
export async function openRocksBackend(path: string): Promise<RocksBackend> {
  mkdirSync(path, { recursive: true })
  const db = new RocksDB(path, OPTIONS)
  try {
    await db.ready()
  } catch (cause) {
    const message = messageOf(cause)
    await db.close().catch(() => {})
    if (/\bLOCK\b/.test(message)) throw new HoldfastError('STATE_LOCKED', `${path} is open in another process`)
    throw corrupt(path, 'cannot be opened', cause)
  }
  return new RocksBackend(path, db)
}

export class RocksBackend implements Backend {
  readonly path: string
  readonly #db: RocksDB
  readonly #snapshots = new Set<RocksSnapshot>()
  readonly #streams = new Set<EntryStream>()
  readonly #reader: BackendReader
  #writes: Promise<void> = Promise.resolve()
  #closed: Promise<void> | null = null
  #idleBatch: ReturnType<RocksDB['write']> | null = null

  constructor(path: string, db: RocksDB) {
    this.path = path
    this.#db = db
    this.#reader = readerOn(db, path, this.#streams)
  }

  multiGet(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]> {
    return this.#reader.multiGet(keys)
  }

  scan(range: Range, entriesFetched?: number): AsyncIterable<readonly Entry[]> {
    return this.#reader.scan(range, entriesFetched)
  }

  last(range: Range, count: number): Promise<readonly Entry[]> {
    return this.#reader.last(range, count)
  }

  /** One after another in the order of the calls (B1): RocksDB's own threads would apply them in any order. */
  write(batch: WriteBatch): Promise<void> {
    assert(this.#closed === null, 'the backend is closed')
    const done = this.#writes.then(() => this.#apply(batch))
    this.#writes = done.catch(() => {})
    return done
  }

  async #apply(batch: WriteBatch): Promise<void> {
    const capacity = batch.rangeDeletes.length + batch.deletes.length + batch.puts.length
    if (capacity === 0) return
    // Used again and again: the native buffer of a batch costs more than its operations.
    const native = this.#idleBatch ?? this.#db.write({ capacity: WRITE_CAPACITY, autoDestroy: false })
    this.#idleBatch = null
    for (const [from, to] of batch.rangeDeletes) native.tryDeleteRange(from, to)
    for (const key of batch.deletes) native.tryDelete(key)
    for (const [key, value] of batch.puts) native.tryPut(key, value)
    try {
      await native.flush()
    } catch (cause) {
      throw new HoldfastError('STATE_WRITE_FAILED', `${this.path}: ${messageOf(cause)}`)
    } finally {
      if (this.#idleBatch === null && this.#closed === null) this.#idleBatch = native
      else native.destroy()
    }
  }

  snapshot(): BackendSnapshot {
    assert(this.#closed === null, 'the backend is closed')
    assert(this.#snapshots.size < BACKEND_SNAPSHOTS_MAX, 'snapshots are released')
    const snapshot = new RocksSnapshot(this.#db.snapshot(), this.path, (gone) => this.#snapshots.delete(gone))
    this.#snapshots.add(snapshot)
    return snapshot
  }

  /** Writes the memtable out; the log before it is then no longer needed. For checkpoints. */
  async flush(): Promise<void> {
    await this.#db.flush()
  }

  /** Idempotent. Releases snapshots and ends scans that are still open. */
  close(): Promise<void> {
    this.#closed ??= this.#closeOnce()
    return this.#closed
  }

  async #closeOnce(): Promise<void> {
    await this.#writes
    for (const snapshot of this.#snapshots) snapshot.release()
    endAll(this.#streams)
    this.#idleBatch?.destroy()
    await this.#db.close()
  }
}

class RocksSnapshot implements BackendSnapshot {
  readonly #session: RocksDB
  readonly #streams = new Set<EntryStream>()
  readonly #reader: BackendReader
  readonly #onRelease: (snapshot: RocksSnapshot) => void
  #released = false

  constructor(session: RocksDB, path: string, onRelease: (snapshot: RocksSnapshot) => void) {
    this.#session = session
    this.#reader = readerOn(session, path, this.#streams)
    this.#onRelease = onRelease
  }

  async multiGet(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]> {
    assert(!this.#released, 'read from a released snapshot')
    return this.#reader.multiGet(keys)
  }

  async *scan(range: Range, entriesFetched?: number): AsyncIterable<readonly Entry[]> {
    assert(!this.#released, 'read from a released snapshot')
    yield* this.#reader.scan(range, entriesFetched)
  }

  async last(range: Range, count: number): Promise<readonly Entry[]> {
    assert(!this.#released, 'read from a released snapshot')
    return this.#reader.last(range, count)
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    endAll(this.#streams)
    // The native snapshot goes when its last running read is done; nothing has to wait for that.
    void this.#session.close()
    this.#onRelease(this)
  }
}

function readerOn(db: RocksDB, path: string, streams: Set<EntryStream>): BackendReader {
  async function* chunks(stream: EntryStream, order: 1 | -1): AsyncIterable<readonly Entry[]> {
    streams.add(stream)
    try {
      yield* chunksOf(stream, order)
    } catch (cause) {
      if (streams.has(stream)) throw corrupt(path, 'cannot be read', cause)
    } finally {
      // A stream ended by close() or release() looks complete: it must not pass for that.
      assert(streams.has(stream), 'scan of a released snapshot or a closed backend')
      streams.delete(stream)
      stream.destroy()
    }
  }
  return {
    async multiGet(keys) {
      if (keys.length === 0) return []
      const batch = db.read({ capacity: keys.length, autoDestroy: true })
      const values = keys.map((key) => batch.get(key))
      batch.tryFlush()
      try {
        return await Promise.all(values)
      } catch (cause) {
        throw corrupt(path, 'cannot be read', cause)
      }
    },

    async *scan(range, entriesFetched = SCAN_CHUNK_ENTRIES) {
      yield* chunks(db.iterator({ gte: range.from, lt: range.to }, { capacity: entriesFetched }), 1)
    },

    async last(range, count) {
      // RocksDB takes a limit below 0 for none at all.
      assert(Number.isSafeInteger(count) && count >= 0, 'as many entries as a whole number says')
      const entries: Entry[] = []
      if (count === 0) return entries
      const options = { capacity: Math.min(count, SCAN_CHUNK_ENTRIES), reverse: true, limit: count }
      const stream = db.iterator({ gte: range.from, lt: range.to }, options)
      for await (const chunk of chunks(stream, -1)) entries.push(...chunk)
      return entries.reverse()
    },
  }
}

function endAll(streams: Set<EntryStream>): void {
  const open = [...streams]
  streams.clear()
  for (const stream of open) stream.destroy()
}

/** Groups what the native iterator fetched at once; checks that keys rise, or fall (paired with what the batches wrote). */
async function* chunksOf(stream: EntryStream, order: 1 | -1): AsyncIterable<readonly Entry[]> {
  let last: Uint8Array | null = null
  for await (const first of stream) {
    const chunk: Entry[] = []
    for (let entry: typeof first | null = first; entry !== null; entry = stream.read()) {
      if (last !== null && Buffer.compare(last, entry.key) * order >= 0) throw new Error('keys out of order')
      last = entry.key
      chunk.push([entry.key, entry.value])
    }
    yield chunk
  }
}

function corrupt(path: string, what: string, cause: unknown): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', `${path} ${what}: ${messageOf(cause)}`)
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
