// Oracle of purchases: what each ad, campaign and advertiser sold by day of the touch, from the events of a file and the attributions
// and label rows that a run wrote. Imports nothing of the project.
//
// 1. Credited: each attribution by last touch with credit; its touch says ad and campaign, its conversion the currency.
// 2. Taken back: each R row; whole orders have count -1. A row has no currency: the one of the advertiser's conversions that were accepted.
// Whether attributions and rows are right is oracle.ts's.

/** Sums by JSON of [advertiser, level, id, window, currency, day]. */
export type PurchaseSums = ReadonlyMap<string, PurchaseSum>
export interface PurchaseSum {
  credited: number
  takenBack: number
  /** Millionths. */
  creditedMicro: bigint
  takenBackMicro: bigint
}

interface Attribution {
  readonly conversion_id: string
  readonly user_id: string
  readonly advertiser_id: string
  readonly conversion_time: number
  readonly window: string
  readonly touch_id: string | null
  readonly touch_type: string
  readonly touch_time: number
  readonly value: number
}
interface Label {
  readonly touch_id: string
  readonly user_id: string
  readonly touch_time: number
  readonly window: string
  readonly kind: string
  readonly count: number
  readonly value: number
}
type Input = Readonly<Record<string, string | number | null | undefined>>

const micro = (value: number): bigint => BigInt(Math.round(value * 1e6))

export function purchaseSums(
  input: readonly Input[],
  attributions: readonly Attribution[],
  labels: readonly Label[],
  timeZone: string,
): PurchaseSums {
  const touches = new Map<string, Input>()
  const currencies = new Map<string, Set<string>>()
  const accepted = new Set(attributions.map(({ conversion_id }) => conversion_id))
  for (const event of input) {
    const { type, event_id, event_time, advertiser_id } = event
    if (type === 'click' || type === 'impression')
      for (const kind of [type, 'any']) touches.set(JSON.stringify([event_id, event_time, kind]), event)
    if (type !== 'conversion' || typeof advertiser_id !== 'string' || !accepted.has(String(event_id))) continue
    const known = currencies.get(advertiser_id) ?? new Set()
    currencies.set(advertiser_id, known.add(typeof event.currency === 'string' ? event.currency : 'none'))
  }
  const dayOf = (ms: number): string => new Date(ms).toLocaleDateString('sv-SE', { timeZone })
  const sums = new Map<string, PurchaseSum>()
  const add = (touch: Input, window: string, change: PurchaseSum): void => {
    const { advertiser_id, campaign_id, ad_id, event_time } = touch
    const [currency, ...others] = currencies.get(advertiser_id as string)!
    if (others.length > 0) throw new Error(`${advertiser_id} has several currencies: rows do not say which`)
    const levels = { advertiser: advertiser_id, campaign: campaign_id, ad: ad_id }
    for (const [level, id] of Object.entries(levels)) {
      const key = JSON.stringify([advertiser_id, level, id, window, currency, dayOf(event_time as number)])
      const sum = sums.get(key) ?? { credited: 0, takenBack: 0, creditedMicro: 0n, takenBackMicro: 0n }
      sums.set(key, {
        credited: sum.credited + change.credited,
        takenBack: sum.takenBack + change.takenBack,
        creditedMicro: sum.creditedMicro + change.creditedMicro,
        takenBackMicro: sum.takenBackMicro + change.takenBackMicro,
      })
    }
  }
  for (const { touch_id, touch_time, touch_type, window, value } of attributions) {
    if (touch_id === null) continue
    const touch = touches.get(JSON.stringify([touch_id, touch_time, touch_type]))!
    add(touch, window, { credited: 1, takenBack: 0, creditedMicro: micro(value), takenBackMicro: 0n })
  }
  for (const { kind, touch_id, touch_time, window, count, value } of labels) {
    if (kind !== 'R') continue
    const touch = touches.get(JSON.stringify([touch_id, touch_time, 'any']))!
    add(touch, window, { credited: 0, takenBack: 0 - count, creditedMicro: 0n, takenBackMicro: 0n - micro(value) })
  }
  return sums
}
