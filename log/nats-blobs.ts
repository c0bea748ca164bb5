// Files in the Object Store of NATS (ADR-20): a stream with chunks and, for each file, a description that is written last.
// NB1: a description is written by compare-and-set on the one before it, so that of two puts of a name one is first, and the
//      other finds it.
// NB2: a put is read back before it counts: the library reports one whose chunks somebody removed meanwhile as done.
// NB3: chunks without description are what interrupted puts left (BL2): removed by a put that finds the bucket full.
// NB4: a file is removed with its description; the library would keep one for each that ever was.

import { setTimeout as sleep } from 'node:timers/promises'
import { JetStreamApiError, type JetStreamManager, jetstream, StorageType } from '@nats-io/jetstream'
import type { ObjectInfo, ObjectStore, Objm } from '@nats-io/obj'
import type { NatsConnection } from 'nats'
import { type Blobs, type BucketSpec, blobName, damagedBlob, fullBucket } from './blobs.ts'
import { assert, HoldfastError } from './errors.ts'
import { LogUnavailable } from './log.ts'
import { API_CODE } from './nats-codec.ts'

/** Of a put: the first, one after another was first or damage was found, one after room was made. */
const PUTS_MAX = 3
/** The library's own, said: far below the least limit of a server for a message. */
const CHUNK_BYTES = 128 * 1024
const SHA256_HEX = /^[0-9a-f]{64}$/

const isCode = (error: unknown, ...codes: number[]): boolean =>
  error instanceof JetStreamApiError && codes.includes(error.code)

/** The questions of log/blobs.ts over one connection. What the client throws for its connection passes as it is. */
export class NatsBlobs implements Blobs {
  readonly #nc: NatsConnection
  #client: Promise<Objm> | undefined
  readonly #jsm: JetStreamManager
  readonly #timeoutMs: number

  constructor(nc: NatsConnection, jsm: JetStreamManager, timeoutMs: number) {
    this.#nc = nc
    this.#jsm = jsm
    this.#timeoutMs = timeoutMs
  }

  async ensureBucket({ name, maxBytes, replicas }: BucketSpec): Promise<void> {
    const asked = { max_bytes: maxBytes, replicas, storage: StorageType.File }
    const objects = await this.#objects()
    const store = await objects.create(name, asked).catch((error: unknown) => {
      if (!isCode(error, API_CODE.insufficientStorage)) throw error
      throw new HoldfastError('NO_ROOM', `bucket ${name}: ${(error as Error).message}`, { maxBytes })
    })
    const { config } = (await store.status()).streamInfo
    const differs = config.max_bytes !== maxBytes || config.num_replicas !== replicas || config.max_age !== 0
    if (!differs && config.storage === StorageType.File) return
    const has = JSON.stringify([config.max_bytes, config.num_replicas, config.max_age, config.storage])
    throw new HoldfastError('SETTINGS_DROPPED', `bucket ${name} has other settings than asked for`, { has })
  }

  async putBlob(bucket: string, sha256: string, bytes: Uint8Array): Promise<void> {
    assert(blobName(bytes) === sha256, 'a file is put under the hash of its bytes')
    const store = await this.#open(bucket)
    let puts = 0
    while (true) {
      const info = await store.info(sha256)
      if (info !== null && (await this.#read(store, bucket, info)) instanceof Uint8Array) return
      assert(puts++ < PUTS_MAX, `what was put into ${bucket} can be read`)
      try {
        const meta = { name: sha256, options: { max_chunk_size: CHUNK_BYTES } }
        await store.putBlob(meta, bytes, { timeout: this.#timeoutMs, previousRevision: info?.revision ?? 0 })
      } catch (error) {
        const wasFirst = isCode(error, API_CODE.wrongLastSequence, API_CODE.wrongLastSequenceConstant)
        if (wasFirst) continue
        if (!isCode(error, API_CODE.streamFull)) throw error
        if (!(await this.#sweep(store, bucket))) throw fullBucket(bucket, sha256, bytes)
      }
    }
  }

  async getBlob(bucket: string, sha256: string): Promise<Uint8Array | null> {
    const store = await this.#open(bucket)
    const info = await store.info(sha256).catch(nothing)
    if (info === null) return null
    const found = await this.#read(store, bucket, info)
    if (found instanceof Uint8Array) return found
    throw damagedBlob(bucket, sha256, found.damage)
  }

  async blobNames(bucket: string): Promise<string[]> {
    const infos = await this.#list(await this.#open(bucket)).catch(nothing)
    return (infos ?? []).map(({ name }) => name)
  }

  async removeBlob(bucket: string, sha256: string): Promise<void> {
    assert(SHA256_HEX.test(sha256), 'a file is removed by the hash of its bytes')
    const store = await this.#open(bucket)
    const info = await store.info(sha256).catch(nothing)
    if (info === null) return
    // Hex digits in base64 have no letters that differ in the variant for URLs.
    await this.#purge(bucket, `$O.${bucket}.M.${Buffer.from(sha256).toString('base64')}`)
    await this.#purge(bucket, chunksOf(bucket, info.nuid))
  }

  async #open(bucket: string): Promise<ObjectStore> {
    return (await this.#objects()).open(bucket, false)
  }

  /** The library is loaded when a file is asked for: most commands never do. */
  #objects(): Promise<Objm> {
    this.#client ??= import('@nats-io/obj').then(
      ({ Objm }) => new Objm(jetstream(this.#nc, { timeout: this.#timeoutMs })),
    )
    return this.#client
  }

  /** The bytes, or what is wrong with them. */
  async #read(store: ObjectStore, bucket: string, info: ObjectInfo): Promise<Uint8Array | { damage: string }> {
    if (!SHA256_HEX.test(info.name) || info.deleted) return { damage: 'it is described as something else' }
    // The library waits for ever for chunks that are not there.
    const chunks = chunksOf(bucket, info.nuid)
    const { state } = await this.#jsm.streams.info(bucketStream(bucket), { subjects_filter: chunks })
    const there = state.subjects?.[chunks] ?? 0
    if (there !== info.chunks) return { damage: `it has ${there} of ${info.chunks} chunks` }
    const result = await store.get(info.name)
    if (result === null) return { damage: 'it is being removed' }
    // Told by the stream of its bytes as well.
    result.error.catch(() => undefined)
    const bytes = await this.#collect(result.data.getReader())
    if (bytes === null || blobName(bytes) !== info.name) return { damage: 'its bytes have another hash' }
    return bytes
  }

  /** null: the library says that they are not what it stored. */
  async #collect(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | null> {
    const parts: Uint8Array[] = []
    try {
      while (true) {
        const part = await this.#inTime(reader.read())
        if (part.done) return Buffer.concat(parts)
        parts.push(part.value)
      }
    } catch (error) {
      if (error instanceof Error && /corrupt object/.test(error.message)) return null
      await reader.cancel()
      throw error
    }
  }

  /** NB3. Whether there was any. Chunks are looked at before descriptions: what is described meanwhile stays. */
  async #sweep(store: ObjectStore, bucket: string): Promise<boolean> {
    const all = await this.#jsm.streams.info(bucketStream(bucket), { subjects_filter: `$O.${bucket}.C.>` })
    const described = new Set((await this.#list(store)).map(({ nuid }) => chunksOf(bucket, nuid)))
    const left = Object.keys(all.state.subjects ?? {}).filter((subject) => !described.has(subject))
    for (const subject of left) await this.#purge(bucket, subject)
    return left.length > 0
  }

  #list(store: ObjectStore): Promise<ObjectInfo[]> {
    return this.#inTime(store.list())
  }

  async #purge(bucket: string, filter: string): Promise<void> {
    await this.#jsm.streams.purge(bucketStream(bucket), { filter })
  }

  /** The library has no limit of time for what a consumer brings. */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    const ended = new AbortController()
    const late = sleep(this.#timeoutMs, undefined, { signal: ended.signal }).then(() => {
      throw new LogUnavailable('timeout of a file')
    })
    late.catch(() => undefined)
    return Promise.race([work, late]).finally(() => ended.abort())
  }
}

/** The stream that a bucket is. */
export const bucketStream = (bucket: string): string => `OBJ_${bucket}`

const chunksOf = (bucket: string, nuid: string): string => `$O.${bucket}.C.${nuid}`

/** No bucket: nothing in it. */
function nothing(error: unknown): null {
  if (isCode(error, API_CODE.streamNotFound)) return null
  throw error
}
