// Remembers which conversions of a person and advertiser are attributed, for touches that come too late for them (operators/hold.ts).
// AC1: a conversion is remembered until the watermark passes the order time of its attribution + retention, wherever buckets end:
//      the last ATTRIBUTED_MAX of a person, advertiser and bucket. More are counted as `attributed_dropped`.

import type { Codec, KeyedStore, StoreSpec } from '../state/store.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { lowestBucketAt } from './expiry.ts'
import type { OperatorContext } from './operator.ts'
import { type Conversion, groupOf, type Touch } from './touch.ts'

/** Nobody buys a thousand times from one advertiser in some weeks; a robot that does must not make a list that is written for ever. */
export const ATTRIBUTED_MAX = 1_024

export interface AttributedConversion {
  readonly timeMs: number
  /** Order time of its attribution, not before `timeMs`. */
  readonly at: number
  /** What it takes to say it anew; null: nobody asks for that. */
  readonly said: { readonly conversion: Conversion; readonly late: boolean; readonly revision: number } | null
}

/** A late touch, and for how long after it a conversion may be credited to it, milliseconds. */
export interface LateTouch {
  readonly touch: Touch
  readonly lengthMs: number
  readonly watermark: number
}

const NAME = 'attributed'

export class AttributedConversions {
  readonly store: StoreSpec
  readonly #retentionMs: number
  /** How long after its event time a conversion is attributed that is not late. */
  readonly #graceMs: number
  readonly #saysAnew: boolean

  constructor(parts: { id: number; retentionMs: number; graceMs: number; saysAnew: boolean }) {
    this.store = { kind: 'keyed', id: parts.id, name: NAME, codec: listCodec }
    this.#retentionMs = parts.retentionMs
    this.#graceMs = parts.graceMs
    this.#saysAnew = parts.saysAnew
  }

  /** Before `add` of a conversion that is attributed at this order time. */
  want(conversion: Conversion, at: number, ctx: OperatorContext): void {
    ctx.keyed(NAME).want(this.#bucketOf(at), groupOf(conversion))
  }

  add(conversion: Conversion, { at, late }: { at: number; late: boolean }, ctx: OperatorContext): void {
    const lists = listsOf(ctx)
    const said = this.#saysAnew ? { conversion, late, revision: 0 } : null
    const entry: AttributedConversion = { timeMs: conversion.timeMs, at, said }
    const [bucket, group] = [this.#bucketOf(at), groupOf(conversion)]
    const list = lists.get(bucket, group)
    if (list === undefined) {
      lists.set(bucket, group, [entry])
      return
    }
    if (list.length >= ATTRIBUTED_MAX) {
      list.shift()
      ctx.count('attributed_dropped')
    }
    list.push(entry)
    lists.changed(bucket, group)
  }

  /** Before `missed` of a late touch. */
  wantFor(late: LateTouch, ctx: OperatorContext): void {
    for (const bucket of this.#bucketsFor(late)) ctx.keyed(NAME).want(bucket, groupOf(late.touch))
  }

  /**
   * The conversions that a late touch came too late for, one by one in the order of their attribution. `anew` is told what to say
   * of one that has been said before, with its new revision.
   */
  missed(
    late: LateTouch,
    anew: (said: NonNullable<AttributedConversion['said']>) => void,
    ctx: OperatorContext,
  ): number {
    const { touch, lengthMs, watermark } = late
    const lists = listsOf(ctx)
    const group = groupOf(touch)
    let missed = 0
    for (const bucket of this.#bucketsFor(late)) {
      lists.get(bucket, group)?.forEach((entry, i, list) => {
        const ageMs = entry.timeMs - touch.timeMs
        if (ageMs < 0 || ageMs > lengthMs || watermark >= entry.at + this.#retentionMs) return
        missed++
        if (entry.said === null) return
        const said = { ...entry.said, revision: entry.said.revision + 1 }
        list[i] = { ...entry, said }
        lists.changed(bucket, group)
        anew(said)
      })
    }
    return missed
  }

  /** Forgets what is too old; returns the next watermark of interest. */
  expire(watermark: number, ctx: OperatorContext): number {
    const retentionMs = this.#retentionMs
    const { lowest, next } = lowestBucketAt(watermark, { retentionMs, bucketMs: retentionMs })
    ctx.keyed(NAME).expireBelow(lowest)
    return next
  }

  /** One bucket per retention: a late touch asks two or three. */
  #bucketOf(timeMs: number): number {
    return Math.max(0, Math.floor(timeMs / this.#retentionMs))
  }

  /** What is not forgotten, up to where a conversion of the touch may have been attributed. */
  #bucketsFor({ touch, lengthMs, watermark }: LateTouch): number[] {
    const first = this.#bucketOf(watermark - this.#retentionMs + 1)
    const last = this.#bucketOf(Math.max(watermark + 1, touch.timeMs + lengthMs + this.#graceMs))
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  }
}

const listsOf = (ctx: OperatorContext): KeyedStore<AttributedConversion[]> => ctx.keyed(NAME)

const COUNTED = 0
const ON_TIME = 1
const LATE = 2

/**
 * Bytes: of each conversion its time, how much later it was attributed, and how: only counted, or on time or late with its
 * revision and its JSON.
 */
const listCodec: Codec<AttributedConversion[]> = {
  encode(list) {
    const writer = new ByteWriter()
    for (const { timeMs, at, said } of list) {
      writer.varint(timeMs)
      writer.varint(at - timeMs)
      writer.varint(said === null ? COUNTED : said.late ? LATE : ON_TIME)
      if (said === null) continue
      writer.varint(said.revision)
      writer.text(JSON.stringify(said.conversion))
    }
    return writer.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    const list: AttributedConversion[] = []
    while (!reader.atEnd) {
      const timeMs = reader.varint()
      const at = timeMs + reader.varint()
      const how = reader.varint()
      const said =
        how === COUNTED ? null : { late: how === LATE, revision: reader.varint(), conversion: parsed(reader) }
      list.push({ timeMs, at, said })
    }
    return list
  },
}

const parsed = (reader: ByteReader): Conversion => JSON.parse(reader.text()) as Conversion
