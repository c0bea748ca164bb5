// Every key that state/ puts into the backend, in one place. Golden bytes: key-layout.test.ts.
// Y1: the order of the bytes is the order meant: kind, store, bucket, then the key's UTF-8 or the segment and page; order
//     keys as protocol.md section 8 has them.
// Y2: a range of buckets of one store is one range of keys, so that expiry is one range delete.
//
//   meta       01
//   keyed      02 store bucket4 utf8(key)
//   packed     08 store bucket4                       all entries of a small bucket (state/packed-bucket.ts)
//   journal    03 store bucket4 cut8                  ids added by one commit to a bucket of a seen store
//   segment    04 store bucket4 segment4              hashes of one sealed segment
//   page       05 store bucket4 segment4 page2        entries of one sealed segment
//   chunk      06 store order-key                     entries of an order queue; the order key is that of the first one
//   straggler  07 store order-key                     one entry of an order queue, pushed behind what was popped before
//   hold       09 store bucket4 utf8(group) 00 time8 utf8(id)
//   first      0a store bucket4 utf8(group)           the holds of a group that came first (state/packed-holds.ts)
//   more       0b store bucket4 utf8(group)           empty: the group has holds under keys of their own, too
//   order-key  at8 rank1 utf8(type) 00 utf8(id) 00 number8
//
// Numbers are big-endian. Types, ids and groups of holds have no U+0000 (contract.md, section 1).

import { assert } from '../log/errors.ts'
import type { Range } from './backend.ts'
import type { OrderKey } from './store.ts'

export const KIND = {
  meta: 1,
  keyed: 2,
  journal: 3,
  segment: 4,
  page: 5,
  chunk: 6,
  straggler: 7,
  packed: 8,
  hold: 9,
  first: 10,
  more: 11,
} as const
export type Kind = (typeof KIND)[keyof typeof KIND]

/** Buckets are floor(time / width): a second is the narrowest width that reaches 2100 in four bytes. */
export const BUCKET_WIDTH_MIN_MS = 1000
/** Room below 0, so that the bucket of "no time yet" (-1) and small offsets are ordinary buckets. */
const BUCKET_OFFSET = 1 << 20
export const BUCKET_MIN = -BUCKET_OFFSET
/** Largest bucket plus one: the exclusive end of a range must be a bucket, too. */
export const BUCKET_MAX = 0xffffffff - BUCKET_OFFSET - 1

/** Bytes before the key's own part: kind, store, bucket. */
export const BUCKET_KEY_BYTES = 6
/**
 * Blocks begin small and double: reads and small commits come by the thousand a second, and memory outside the heap that
 * they leave behind makes the collector go through everything (measured: ten times a second at 2,000 reads).
 */
const BLOCK_BYTES = { first: 512, max: 64 * 1024 } as const
const NO_BLOCK = Buffer.alloc(0)
/** Two bounds of a range. */
const RANGE_BYTES = 2 * BUCKET_KEY_BYTES
/** UTF-8 bytes per UTF-16 unit, at most. */
const UTF8_PER_UNIT_MAX = 3

/** Hands out keys from shared blocks of memory: one writer per commit or read, no allocation per key but the view. */
export class KeyWriter {
  #blockBytes: number
  #block: Buffer = NO_BLOCK
  #start = 0
  #at = 0

  /** `blockBytes`: of the first block. */
  constructor(blockBytes: number = BLOCK_BYTES.first) {
    this.#blockBytes = blockBytes
  }

  /** Starts over in the current block: the keys handed out so far are overwritten. */
  clear(): void {
    this.#at = 0
  }

  meta(): Uint8Array {
    this.#begin(1)
    this.#byte(KIND.meta)
    return this.#done()
  }

  keyed(store: number, bucket: number, key: string): Uint8Array {
    this.#begin(BUCKET_KEY_BYTES + key.length * UTF8_PER_UNIT_MAX)
    this.#prefix(KIND.keyed, store, bucket)
    this.#utf8(key)
    return this.#done()
  }

  journal(store: number, bucket: number, cut: number): Uint8Array {
    this.#begin(BUCKET_KEY_BYTES + 8)
    this.#prefix(KIND.journal, store, bucket)
    this.#uint64(cut)
    return this.#done()
  }

  segment(store: number, bucket: number, segment: number): Uint8Array {
    this.#begin(BUCKET_KEY_BYTES + 4)
    this.#prefix(KIND.segment, store, bucket)
    this.#uint32(segment)
    return this.#done()
  }

  page(store: number, bucket: number, segment: number, page: number): Uint8Array {
    this.#begin(BUCKET_KEY_BYTES + 6)
    this.#prefix(KIND.page, store, bucket)
    this.#uint32(segment)
    assert(page >= 0 && page <= 0xffff, 'page number out of range')
    this.#byte(page >>> 8)
    this.#byte(page & 0xff)
    return this.#done()
  }

  ordered(kind: typeof KIND.chunk | typeof KIND.straggler, store: number, key: OrderKey): Uint8Array {
    this.#begin(2 + 8 + 1 + (key.type.length + key.id.length) * UTF8_PER_UNIT_MAX + 2 + 8)
    this.#storeByte(kind, store)
    this.#uint64(key.at)
    assert(Number.isInteger(key.rank) && key.rank >= 0 && key.rank <= 0xff, 'rank out of range')
    this.#byte(key.rank)
    this.#utf8(key.type)
    this.#byte(0)
    this.#utf8(key.id)
    this.#byte(0)
    this.#uint64(key.number)
    return this.#done()
  }

  group(kind: typeof KIND.first | typeof KIND.more, store: number, bucket: number, group: string): Uint8Array {
    this.#begin(BUCKET_KEY_BYTES + group.length * UTF8_PER_UNIT_MAX)
    this.#prefix(kind, store, bucket)
    this.#utf8(group)
    return this.#done()
  }

  hold(store: number, bucket: number, group: string, timeMs: number, id: string): Uint8Array {
    assert(!group.includes('\0'), 'a group of holds has no U+0000')
    this.#begin(BUCKET_KEY_BYTES + (group.length + id.length) * UTF8_PER_UNIT_MAX + 1 + 8)
    this.#prefix(KIND.hold, store, bucket)
    this.#utf8(group)
    this.#byte(0)
    this.#uint64(timeMs)
    this.#utf8(id)
    return this.#done()
  }

  /** The first bytes of every key of a bucket: the bound of ranges. */
  bucket(kind: Kind, store: number, bucket: number): Uint8Array {
    this.#begin(BUCKET_KEY_BYTES)
    this.#prefix(kind, store, bucket)
    return this.#done()
  }

  /** The first bytes of every key of a store. */
  store(kind: Kind, store: number): Uint8Array {
    this.#begin(2)
    this.#storeByte(kind, store)
    return this.#done()
  }

  #begin(bytes: number): void {
    if (this.#at + bytes > this.#block.length) {
      this.#block = Buffer.allocUnsafe(Math.max(this.#blockBytes, bytes))
      this.#blockBytes = Math.min(2 * this.#block.length, BLOCK_BYTES.max)
      this.#at = 0
    }
    this.#start = this.#at
  }

  #done(): Uint8Array {
    return this.#block.subarray(this.#start, this.#at)
  }

  #prefix(kind: Kind, store: number, bucket: number): void {
    assert(Number.isInteger(bucket) && bucket >= BUCKET_MIN && bucket <= BUCKET_MAX + 1, 'bucket out of range')
    this.#storeByte(kind, store)
    this.#uint32(bucket + BUCKET_OFFSET)
  }

  #storeByte(kind: Kind, store: number): void {
    assert(Number.isInteger(store) && store >= 0 && store <= 0xff, 'store id out of range')
    this.#byte(kind)
    this.#byte(store)
  }

  #byte(value: number): void {
    this.#block[this.#at++] = value
  }

  #uint32(value: number): void {
    this.#block[this.#at++] = value >>> 24
    this.#block[this.#at++] = value >>> 16
    this.#block[this.#at++] = value >>> 8
    this.#block[this.#at++] = value
  }

  #uint64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a number in a key is a whole number from 0')
    this.#uint32(Math.floor(value / 0x100000000))
    this.#uint32(value >>> 0)
  }

  #utf8(text: string): void {
    const start = this.#at
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit > 0x7f) {
        this.#at = start + this.#block.write(text, start, 'utf8')
        return
      }
      this.#block[this.#at++] = unit
    }
  }
}

/** Half-open range of all keys in the buckets [from, to) of a store. */
export function bucketRange(kind: Kind, store: number, from: number, to: number): Range {
  const writer = new KeyWriter(RANGE_BYTES)
  return { from: writer.bucket(kind, store, from), to: writer.bucket(kind, store, to) }
}

/** Range of the keyed entries of one bucket whose keys begin so. No UTF-8 has the byte that ends it. */
export function prefixRange(store: number, bucket: number, prefix: string): Range {
  const from = new KeyWriter(RANGE_BYTES).keyed(store, bucket, prefix)
  return { from, to: Uint8Array.of(...from, 0xff) }
}

/** Range of the holds of a group in one bucket with fromMs <= time <= toMs; at toMs only ids before `beforeId`, if it is given. */
export function holdRange(
  store: number,
  bucket: number,
  group: string,
  { fromMs, toMs, beforeId }: { readonly fromMs: number; readonly toMs: number; readonly beforeId?: string },
): Range {
  const writer = new KeyWriter(RANGE_BYTES)
  return {
    from: writer.hold(store, bucket, group, Math.max(0, fromMs), ''),
    to:
      beforeId === undefined
        ? writer.hold(store, bucket, group, toMs + 1, '')
        : writer.hold(store, bucket, group, toMs, beforeId),
  }
}

/** Range of all keys of a store that stand in buckets. */
export function allBuckets(kind: Kind, store: number): Range {
  return bucketRange(kind, store, BUCKET_MIN, BUCKET_MAX + 1)
}

/** Range of all keys of an order queue of one kind. Keys begin with a time of eight bytes below 2^53, so 0xff ends them. */
export function allOrdered(kind: typeof KIND.chunk | typeof KIND.straggler, store: number): Range {
  const from = new KeyWriter(RANGE_BYTES).store(kind, store)
  return { from, to: Uint8Array.of(...from, 0xff) }
}

/** Ranges of everything that a store of any kind may have. */
export function rangesOfStore(store: number): Range[] {
  const kinds = [KIND.keyed, KIND.packed, KIND.journal, KIND.segment, KIND.page, KIND.hold, KIND.first, KIND.more]
  const buckets = kinds.map((kind) => allBuckets(kind, store))
  return [...buckets, allOrdered(KIND.chunk, store), allOrdered(KIND.straggler, store)]
}

/** Bucket and key text of a keyed entry's key. */
export function parseKeyedKey(bytes: Uint8Array): { readonly bucket: number; readonly key: string } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  assert(view.length >= BUCKET_KEY_BYTES && view[0] === KIND.keyed, 'not the key of a keyed entry')
  return { bucket: view.readUInt32BE(2) - BUCKET_OFFSET, key: view.toString('utf8', BUCKET_KEY_BYTES) }
}

/** Bucket and group of a first or more key. */
export function parseGroupKey(bytes: Uint8Array): { readonly bucket: number; readonly group: string } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  assert(view[0] === KIND.first || view[0] === KIND.more, 'not the key of a group of holds')
  return { bucket: view.readUInt32BE(2) - BUCKET_OFFSET, group: view.toString('utf8', BUCKET_KEY_BYTES) }
}

/** The parts of a hold's key. */
export function parseHoldKey(bytes: Uint8Array): {
  readonly bucket: number
  readonly group: string
  readonly timeMs: number
  readonly id: string
} {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const groupEnd = view.indexOf(0, BUCKET_KEY_BYTES)
  assert(view[0] === KIND.hold && groupEnd >= 0 && view.length >= groupEnd + 9, 'not the key of a hold')
  return {
    bucket: view.readUInt32BE(2) - BUCKET_OFFSET,
    group: view.toString('utf8', BUCKET_KEY_BYTES, groupEnd),
    timeMs: Number(view.readBigUInt64BE(groupEnd + 1)),
    id: view.toString('utf8', groupEnd + 9),
  }
}

/** Bucket and number (cut or segment) of a journal or segment key. */
export function parseSeenKey(bytes: Uint8Array): { readonly bucket: number; readonly number: number } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bucket = view.readUInt32BE(2) - BUCKET_OFFSET
  if (view[0] === KIND.segment) return { bucket, number: view.readUInt32BE(BUCKET_KEY_BYTES) }
  assert(view[0] === KIND.journal, 'neither a journal nor a segment key')
  return { bucket, number: Number(view.readBigUInt64BE(BUCKET_KEY_BYTES)) }
}

/** Orders strings as their UTF-8 bytes do. JavaScript's `<` differs: it puts U+10000 and above before U+E000. */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return x < SURROGATE_FIRST || y < SURROGATE_FIRST ? x - y : codePointRank(x) - codePointRank(y)
  }
  return a.length - b.length
}

const SURROGATE_FIRST = 0xd800
const SURROGATE_END = 0xe000

/** A unit's place among code points: surrogates stand for code points above every other unit. */
function codePointRank(unit: number): number {
  return unit < SURROGATE_END ? unit + 0x10000 : unit
}

/** Orders order keys as their bytes do. */
export function compareOrderKeys(a: OrderKey, b: OrderKey): number {
  return a.at - b.at || a.rank - b.rank || compareUtf8(a.type, b.type) || compareUtf8(a.id, b.id) || a.number - b.number
}
