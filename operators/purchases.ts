// Purchases by ad, campaign and advertiser (docs/purchases.md): sums credits by the time of the touch, and counts how long they took.
// PU1: what a credit changes follows from the credit alone; sums are whole numbers, so their order does not matter.
// PU2: a touch is forgotten with its day, PURCHASES_KEPT_MS after it; what is credited to it later is counted as purchases_expired.
// What is kept, and its bytes: operators/purchase-tiles.ts. Values over the last days: operators/purchase-events.ts.

import type { AttributionSettings } from './attribution-settings.ts'
import { delayBin } from './delay-curve.ts'
import { lowestBucketAt } from './expiry.ts'
import type { Operator } from './operator.ts'
import {
  ALL_ADVERTISERS,
  addPurchase,
  currencyOf,
  DELAYS_STORE,
  type DelayCounts,
  delaysCodec,
  delaysKey,
  levelPrefix,
  PURCHASE_DAY_MS,
  PURCHASES_KEPT_MS,
  PURCHASES_STORE,
  type PurchaseTiles,
  purchaseKey,
  purchasesCodec,
  TILE_MS,
} from './purchase-tiles.ts'
import type { CreditedLane, CreditRecord } from './touch.ts'

/** Counter: lanes of credits whose touch was forgotten. */
export const PURCHASES_EXPIRED = 'purchases_expired'

export interface Purchases extends Operator<CreditRecord, never> {
  readonly windows: AttributionSettings['windows']
  readonly graceMs: number
}

/** Emits nothing: what it keeps is read (topology/purchase-reads.ts). `graceMs`: how long after a conversion its credit comes. */
export function purchases({ windows, graceMs }: Pick<AttributionSettings, 'windows' | 'graceMs'>): Purchases {
  const keysOf = (credit: CreditRecord, lane: CreditedLane): readonly string[] => {
    const { advertiser, currency } = credit
    const { goal, campaign, ad } = lane
    const named = { goal, window: windows[lane.window]!.name }
    const key = (level: 'advertiser' | 'campaign' | 'ad', id: string): string =>
      purchaseKey(levelPrefix(advertiser, named, level), id, currencyOf(currency))
    return [key('advertiser', advertiser), key('campaign', campaign), key('ad', ad)]
  }
  /** How long a conversion took is counted where it is credited, and stays where it is taken back. */
  const delayKeysOf = ({ advertiser, count }: CreditRecord, { goal, window }: CreditedLane): readonly string[] => {
    if (count !== 1) return []
    const lane = { goal, window: windows[window]!.name }
    return [delaysKey(ALL_ADVERTISERS, lane), delaysKey(advertiser, lane)]
  }
  return {
    ...{ windows, graceMs },
    name: 'purchases',
    version: 1,
    settings: { windows: windows.map(({ name }) => name), graceMs, keptMs: PURCHASES_KEPT_MS },
    stores: [
      { kind: 'keyed', id: 1, name: PURCHASES_STORE, codec: purchasesCodec },
      { kind: 'keyed', id: 2, name: DELAYS_STORE, codec: delaysCodec },
    ],
    keys(batch, ctx) {
      const [kept, delays] = [ctx.keyed(PURCHASES_STORE), ctx.keyed(DELAYS_STORE)]
      for (const { value } of batch)
        for (const lane of value.lanes) {
          const bucket = dayOf(lane)
          if (bucket < kept.lowestBucket) continue
          for (const key of keysOf(value, lane)) kept.want(bucket, key)
          for (const key of delayKeysOf(value, lane)) delays.want(bucket, key)
        }
    },
    process(batch, ctx) {
      const kept = ctx.keyed<PurchaseTiles>(PURCHASES_STORE)
      const delays = ctx.keyed<DelayCounts>(DELAYS_STORE)
      for (const { value } of batch)
        for (const lane of value.lanes) {
          const bucket = dayOf(lane)
          if (bucket < kept.lowestBucket) {
            ctx.count(PURCHASES_EXPIRED)
            continue
          }
          const tile = Math.floor((lane.touchTimeMs - bucket * PURCHASE_DAY_MS) / TILE_MS)
          for (const key of keysOf(value, lane)) {
            const tiles = kept.get(bucket, key) ?? []
            addPurchase(tiles, tile, value)
            kept.set(bucket, key, tiles)
          }
          const bin = delayBin(value.conversionTimeMs - lane.touchTimeMs)
          for (const key of delayKeysOf(value, lane)) {
            const counts = delays.get(bucket, key) ?? new Map<number, number>()
            delays.set(bucket, key, counts.set(bin, (counts.get(bin) ?? 0) + 1))
          }
        }
      return []
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, { bucketMs: PURCHASE_DAY_MS, retentionMs: PURCHASES_KEPT_MS })
      ctx.keyed(PURCHASES_STORE).expireBelow(lowest)
      ctx.keyed(DELAYS_STORE).expireBelow(lowest)
      return next
    },
  }
}

const dayOf = ({ touchTimeMs }: CreditedLane): number => Math.floor(touchTimeMs / PURCHASE_DAY_MS)
