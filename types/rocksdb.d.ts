// Types of the package `rocksdb` (npm alias of rocksdb-native 3.18.1), which brings none. Only what state/ uses.

declare module 'rocksdb' {
  class BloomFilterPolicy {
    constructor(bitsPerKey: number)
  }

  interface Options {
    readonly createIfMissing?: boolean
    readonly maxBackgroundJobs?: number
    readonly bytesPerSync?: number
    readonly maxOpenFiles?: number
    readonly walRecoveryMode?: number
    readonly bestEffortsRecovery?: boolean
    readonly enableStatistics?: boolean
    readonly writeBufferSize?: number
    readonly maxWriteBufferNumber?: number
    readonly tableBlockSize?: number
    readonly tableCacheIndexAndFilterBlocks?: boolean
    readonly blockCache?: boolean
    readonly filterPolicy?: BloomFilterPolicy | null
    readonly enableBlobFiles?: boolean
    readonly topLevelIndexPinningTier?: number
    readonly partitionPinningTier?: number
    readonly unpartitionedPinningTier?: number
  }

  interface BatchOptions {
    /** Operations that fit before the native buffer grows. */
    readonly capacity: number
    /** Without it the batch must be destroyed by hand, or close() never ends. */
    readonly autoDestroy: boolean
  }

  interface ReadBatch {
    get(key: Uint8Array): Promise<Uint8Array | null>
    tryFlush(): void
  }

  interface WriteBatch {
    tryPut(key: Uint8Array, value: Uint8Array): void
    tryDelete(key: Uint8Array): void
    tryDeleteRange(from: Uint8Array, to: Uint8Array): void
    /** Afterwards the batch is empty and may be filled again. */
    flush(): Promise<void>
    destroy(): void
  }

  interface EntryStream extends AsyncIterable<{ readonly key: Uint8Array; readonly value: Uint8Array }> {
    readonly destroyed: boolean
    destroy(): void
    /** The next entry that is already in memory; null: none is. */
    read(): { readonly key: Uint8Array; readonly value: Uint8Array } | null
  }

  class RocksDB {
    constructor(path: string, options: Options)
    ready(): Promise<void>
    close(): Promise<void>
    /** A session that sees the database as it is now; close() releases it. */
    snapshot(): RocksDB
    read(options: BatchOptions): ReadBatch
    write(options: BatchOptions): WriteBatch
    iterator(
      range: { gte: Uint8Array; lt: Uint8Array },
      options: { capacity: number; reverse?: boolean; limit?: number },
    ): EntryStream
    flush(): Promise<void>
    /** Rewrites all files: nothing that was overwritten or deleted is left in them. */
    compactRange(): Promise<void>
    suspend(): Promise<void>
    resume(): Promise<void>
    getProperty(name: string): Promise<string | null>

    static readonly BloomFilterPolicy: typeof BloomFilterPolicy
    static readonly constants: {
      readonly walRecoveryMode: { readonly POINT_IN_TIME: number }
      readonly pinningTier: { readonly NONE: number; readonly FLUSHED_AND_SIMILAR: number; readonly ALL: number }
    }
  }

  export = RocksDB
}
