// What is kept of purchases for reports, and its bytes: what ads brought, by the time of the touch, in tiles of a quarter of an hour
// (the offset of every time zone since 2000 is a multiple of that, so days of any zone are whole tiles); and how long conversions took.
// PT1: an entry is of one UTC day of touches, one ad (or campaign, or advertiser), lane and currency; its tiles are sparse. So one
//      credit changes one small entry for each of the three in each of its lanes, however much the advertiser sells.
// PT2: a key begins with the advertiser, the lane and the level: what a report lists is a range of keys of each day.
// PT3: what is taken back stands beside what was credited, never in its place: how much is still to come follows from credits alone.
// Who writes it: operators/purchases.ts. What is made of delays: operators/delay-curve.ts.

import type { Codec } from '../state/store.ts'
import { addExact, ByteReader, ByteWriter, corrupt, type Exact } from './bytes.ts'
import { keyOf, partsOf } from './touch.ts'

const MINUTE_MS = 60_000
export const TILE_MS = 15 * MINUTE_MS
/** Buckets: UTC days by the time of the touch. */
export const PURCHASE_DAY_MS = 86_400_000
export const TILES_PER_DAY = PURCHASE_DAY_MS / TILE_MS
/** 13 months, so that a month can be compared with the same one of the year before: touches of earlier days are forgotten. */
export const PURCHASES_KEPT_MS = 396 * PURCHASE_DAY_MS

/** Stands for a conversion without a currency. */
export const NO_CURRENCY = 'none'
/** Events may say anything there; what else it is names no money, and has no place in a key. */
const CURRENCY = /^[A-Za-z0-9._-]{1,16}$/

/** The currency in which a credit is summed. */
export const currencyOf = (said: string | null): string => (said !== null && CURRENCY.test(said) ? said : NO_CURRENCY)

/** For whom purchases are summed. */
export const PURCHASE_LEVELS = ['advertiser', 'campaign', 'ad'] as const
export type PurchaseLevel = (typeof PURCHASE_LEVELS)[number]

export const PURCHASES_STORE = 'purchases'
export const DELAYS_STORE = 'delays'

/** A goal ('' without declared goals) and a window, by their names. */
export interface PurchaseLane {
  readonly goal: string
  readonly window: string
}

/** Conversions and values by touches of a quarter of an hour. Values are millionths. Mutable. */
export interface PurchaseTile {
  /** Place in its day, from 0. */
  readonly tile: number
  credited: number
  creditedMicro: Exact
  /** Whole orders; the value also of parts. */
  takenBack: number
  takenBackMicro: Exact
}

/** Those in which something is, in ascending order. Mutable. */
export type PurchaseTiles = PurchaseTile[]

/** Before every key of a level. */
export function levelPrefix(advertiser: string, { goal, window }: PurchaseLane, level: PurchaseLevel): string {
  return keyOf(advertiser, goal, window, level, '')
}

/** Of an advertiser's own level the id is the advertiser. */
export function purchaseKey(prefix: string, id: string, currency: string): string {
  return `${prefix}${keyOf(id, currency)}`
}

/** The id and the currency of a key, behind the four parts of its prefix. */
export function ofPurchaseKey(key: string): { readonly id: string; readonly currency: string } {
  const [, , , , id, currency] = partsOf(key)
  if (id === undefined || currency === undefined) throw corrupt('a key of purchases has six parts')
  return { id, currency }
}

/** Delays of an advertiser's credits, or of all advertisers together: no advertiser has the empty id. */
export const ALL_ADVERTISERS = ''
export function delaysKey(advertiser: string, { goal, window }: PurchaseLane): string {
  return keyOf(advertiser, goal, window)
}

/** What one credit adds to a tile. */
export interface PurchaseChange {
  /** 1: credited; -1: taken back; 0: taken back in part. */
  readonly count: 1 | -1 | 0
  /** Millionths; below 0 where it is taken back. */
  readonly value: number
}

/** Adds a change to the tile of a touch. */
export function addPurchase(tiles: PurchaseTiles, tile: number, { count, value }: PurchaseChange): void {
  let at = tiles.length
  while (at > 0 && tiles[at - 1]!.tile > tile) at--
  if (tiles[at - 1]?.tile !== tile) {
    tiles.splice(at, 0, { tile, credited: 0, creditedMicro: 0, takenBack: 0, takenBackMicro: 0 })
    at++
  }
  const own = tiles[at - 1]!
  if (count === 1) {
    own.credited++
    own.creditedMicro = addExact(own.creditedMicro, value)
  } else {
    own.takenBack -= count
    own.takenBackMicro = addExact(own.takenBackMicro, -value)
  }
}

/** Of each tile: how far after the one before, credits, their value; where something was taken back, that too. */
export const purchasesCodec: Codec<PurchaseTiles> = {
  encode(tiles) {
    const out = new ByteWriter()
    out.varint(tiles.length)
    let before = -1
    for (const { tile, credited, creditedMicro, takenBack, takenBackMicro } of tiles) {
      const hasRefunds = takenBack !== 0 || takenBackMicro !== 0
      out.varint(tile - before - 1)
      before = tile
      out.varint(2 * credited + (hasRefunds ? 1 : 0))
      out.exact(creditedMicro)
      if (!hasRefunds) continue
      out.varint(takenBack)
      out.exact(takenBackMicro)
    }
    return out.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    let before = -1
    const tiles = reader.list((): PurchaseTile => {
      const tile = before + 1 + reader.varint()
      if (tile >= TILES_PER_DAY) throw corrupt('a tile of purchases lies behind its day')
      before = tile
      const head = reader.varint()
      const own = { tile, credited: Math.floor(head / 2), creditedMicro: reader.exact() }
      return head % 2 === 0
        ? { ...own, takenBack: 0, takenBackMicro: 0 }
        : { ...own, takenBack: reader.varint(), takenBackMicro: reader.exact() }
    })
    if (!reader.atEnd) throw corrupt('an entry of purchases is longer than what is in it')
    return tiles
  },
}

/** Credits by bin of their delay (operators/delay-curve.ts). Mutable. */
export type DelayCounts = Map<number, number>

/** Bins in ascending order: how far after the one before, credits. */
export const delaysCodec: Codec<DelayCounts> = {
  encode(delays) {
    const out = new ByteWriter()
    out.varint(delays.size)
    let before = -1
    for (const [bin, count] of [...delays].sort(([a], [b]) => a - b)) {
      out.varint(bin - before - 1)
      out.varint(count)
      before = bin
    }
    return out.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    let before = -1
    const bins = reader.list((): [number, number] => {
      before += 1 + reader.varint()
      return [before, reader.varint()]
    })
    if (!reader.atEnd) throw corrupt('an entry of delays is longer than what is in it')
    return new Map(bins)
  },
}
