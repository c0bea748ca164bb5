// R rows: what a refund takes back, said of each touch that has the credit, numbered by touch and lane (contract.md, section 5).
// RF1: each touch has a value of its own, so that a refund costs the same however many its person has had. Which touches it is
//      about is in the order, which has to be read first: hence this stands behind the operator that reads it (operators/labels.ts).
// RF2: numbers of a touch are kept as long as it may be credited, and what it is credited with then be refunded.
// Which order a refund takes back, and who has the credit of it: operators/label-orders.ts.

import type { Codec, StoreSpec } from '../state/store.ts'
import { type AttributionSettings, longestWindowMs } from './attribution-settings.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import { laneTable } from './label-lanes.ts'
import { creditedLanes, type Taken } from './label-orders.ts'
import { bucketOf, bucketsOf, keptFor, type OrderCredit } from './label-state.ts'
import { recordJson, rowOf } from './label-text.ts'
import type { TaughtRows } from './model-records.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'
import { type CreditRecord, type LabelRow, touchKey } from './touch.ts'

/** R rows of a touch in a lane so far. Mutable. */
export interface LaneRefunds {
  readonly goal: string
  readonly window: number
  rows: number
}

const NAME = 'refunds'

/** Emits LabelRecord of R rows to `output`, and says of each refund what purchases by ad need; credits pass as they are, rows that teach end here. */
export function refunds(
  settings: AttributionSettings,
  { output, orderHorizonMs }: { readonly output: string; readonly orderHorizonMs: number },
): Operator<CreditRecord | Taken | TaughtRows, CreditRecord> {
  const { windows, graceMs, pixelDelayMs } = settings
  // From the first refund of a touch to its last: the touch's last credit comes between them, and then the last refund of that.
  const kept: Retention = keptFor(longestWindowMs(settings) + pixelDelayMs + orderHorizonMs + graceMs)
  const lanesOf = laneTable(settings)

  /** Where numbers of a touch may be. Refunds come in the order of their order times: those on time when they are due. */
  const bucketsAt = (at: number, ctx: OperatorContext): readonly number[] =>
    bucketsOf(ctx.keyed(NAME), kept, { fromMs: at - kept.retentionMs, toMs: at })

  function sayRows(taken: Taken, { touch, lanes }: OrderCredit, rec: Rec<unknown>, ctx: OperatorContext): void {
    const { user, advertiser, count, value } = taken
    const who = { ...touch, user, advertiser }
    const key = touchKey(who)
    const store = ctx.keyed<LaneRefunds[]>(NAME)
    const known = bucketsAt(rec.at, ctx).find((bucket) => store.get(bucket, key) !== undefined)
    const bucket = known ?? bucketOf(rec.at, kept.bucketMs)
    const soFar = (known === undefined ? undefined : store.get(known, key)) ?? []
    const rows = lanes.map(({ goal, window }): LabelRow => {
      const lane = lanesOf(goal)[window]!
      ctx.count(lane.counts.R)
      return rowOf(lane, { number: nextNumber(soFar, goal, window), y: 0, count, value })
    })
    store.set(bucket, key, soFar)
    const isComplete = ctx.drainedAt === null || rec.at <= ctx.drainedAt
    ctx.emitJson(output, recordJson(who, 'R', isComplete, JSON.stringify(rows)), rec)
  }

  return {
    name: 'refunds',
    version: 1,
    settings: { windows, graceMs, pixelDelayMs, output, orderHorizonMs },
    stores: [{ kind: 'keyed', id: 1, name: NAME, codec: refundsCodec }] satisfies StoreSpec[],
    keys(batch, ctx) {
      const store = ctx.keyed(NAME)
      for (const { value, at } of batch) {
        if (!isTaken(value)) continue
        const { user, advertiser, credits } = value
        const buckets = bucketsAt(at, ctx)
        for (const { touch } of credits) {
          const key = touchKey({ ...touch, user, advertiser })
          for (const bucket of buckets) store.want(bucket, key)
        }
      }
    },
    process(batch, ctx) {
      const out: Rec<CreditRecord>[] = []
      for (const rec of batch) {
        const { value } = rec
        if ('rows' in value) continue
        if (!isTaken(value)) {
          out.push({ ...rec, value })
          continue
        }
        for (const credit of value.credits) sayRows(value, credit, rec, ctx)
        const { advertiser, conversionTimeMs, count, value: amount, currency, credits } = value
        const lanes = creditedLanes(credits)
        out.push({ ...rec, value: { advertiser, conversionTimeMs, count, value: amount, currency, lanes } })
      }
      return out
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, kept)
      ctx.keyed(NAME).expireBelow(lowest)
      return next
    },
  }
}

const isTaken = (value: CreditRecord | Taken | TaughtRows): value is Taken => 'credits' in value

/** The number of the next R row of a touch in a lane, which is taken with it. */
function nextNumber(soFar: LaneRefunds[], goal: string, window: number): number {
  const lane = soFar.find((other) => other.window === window && other.goal === goal)
  if (lane !== undefined) return ++lane.rows
  soFar.push({ goal, window, rows: 1 })
  return 1
}

/** Bytes: of each lane its goal, its window, and how many rows. */
export const refundsCodec: Codec<LaneRefunds[]> = {
  encode(lanes) {
    const writer = new ByteWriter()
    writer.varint(lanes.length)
    for (const { goal, window, rows } of lanes) {
      writer.text(goal)
      writer.varint(window)
      writer.varint(rows)
    }
    return writer.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    return reader.list(() => ({ goal: reader.text(), window: reader.varint(), rows: reader.varint() }))
  },
}
