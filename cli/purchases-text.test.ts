// A report as people see it: the table, the picture, one currency by rates.

import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ReadPurchasesAnswer } from '../client/holdfast.ts'
import { purchasesPicture } from './purchases-picture.ts'
import { purchasesText } from './purchases-text.ts'
import { inOneCurrency, readRates } from './rates-file.ts'

type Line = ReadPurchasesAnswer['purchases'][number]

const day = (date: string, hours: number, share: number | null) => ({
  ...{ day: date, from: 0, to: hours * 3_600_000, hours, mature: share === 1, share },
})
function line(place: number, id: string, currency: string, count: number, estimate: Line['estimate'] = null): Line {
  return {
    ...{ day: place, id, currency, count, value: 2 * count, credited: count, taken_back: 0 },
    ...{ credited_value: 2 * count, taken_back_value: 0 },
    ...{ state: place === 0 ? 'mature' : estimate === null ? 'too_few' : 'estimated', estimate },
  }
}
const total = ({ id: _, ...of }: Line, place: number | null) => ({ ...of, day: place })

const OPEN = line(1, 'shoe', 'EUR', 10, { count: 20, low: 14.2, high: 25.8, value: 40 })
const LITTLE = line(2, 'shoe', 'EUR', 1)
const ALL = { count: 28, low: 20, high: 36, value: 56 }
const ANSWER: ReadPurchasesAnswer = {
  ...{ advertiser_id: 'shop', by: 'ad', goal: null, window: '7d_click', time_zone: 'Europe/Berlin' },
  ...{ through: Date.UTC(2026, 2, 30, 12), curve: { own: 500, all: 900 } },
  days: [day('2026-03-28', 24, 1), day('2026-03-29', 23, 0.5), day('2026-03-30', 24, 0.3)],
  purchases: [line(0, 'hat', 'EUR', 3), line(0, '<shoe>', 'EUR', 2), OPEN, LITTLE, line(0, 'hat', 'USD', 4)],
  totals: [
    total(line(0, '', 'EUR', 5), 0),
    total(OPEN, 1),
    total(LITTLE, 2),
    total({ ...line(1, '', 'EUR', 16, ALL), value: 32 }, null),
    total(line(0, '', 'USD', 4), 0),
    total(line(0, '', 'USD', 4), null),
  ],
  snapshot: { as_of: 0, complete_through: 0, applied_through: 's:1.0', epoch: 1, config: 'c' },
}

describe('the table', () => {
  it('has a part for each currency, days of other lengths, and says what is estimated and of what nobody can tell', () => {
    expect(
      purchasesText(ANSWER),
    ).toBe(`purchases of shop by ad · 7d_click · days of touches in Europe/Berlin · conversions up to 2026-03-30T12:00:00.000Z

in EUR
DAY                AD      COUNT  VALUE  IN THE END  90 %      VALUE THEN  WHAT IS KNOWN
2026-03-28         hat         3  6.00   3                     6.00        mature
2026-03-28         <shoe>      2  4.00   2                     4.00        mature
2026-03-29 (23 h)  shoe       10  20.00  20.0        14 to 26  40.00       estimated, 50 % have come
2026-03-30         shoe        1  2.00   ?                     ?           open, 30 % have come: too few to tell
all                3 ads      16  32.00  28.0        20 to 36  56.00       estimated

in USD
DAY         AD     COUNT  VALUE  IN THE END  90 %  VALUE THEN  WHAT IS KNOWN
2026-03-28  hat        4  8.00   4                 8.00        mature
all         1 ads      4  8.00   4                 8.00        mature

estimated: what is there / the share that has come by now, from 500 conversions of mature days (900 of all advertisers);
between the two numbers of 90 % it is nine times of ten. Refunds that are still to come are not in it.
`)
  })

  it('says that there is nothing, or that nothing has come yet', () => {
    const nothing = { ...ANSWER, purchases: [], totals: [] }
    expect(purchasesText(nothing)).toMatch(/\nnone by touches of 2026-03-28 to 2026-03-30\n$/)
    expect(purchasesText({ ...nothing, days: [], through: null })).toMatch(
      /nothing has come yet\nno such day has begun yet\n$/,
    )
    expect(purchasesText({ ...nothing, goal: 'sales' })).toContain('sales · 7d_click')
  })
})

describe('the picture', () => {
  it('has a bar for each day, what is to come hatched, and an outline where nobody can tell', () => {
    const svg = purchasesPicture(ANSWER)
    const named = (name: string) =>
      [...svg.matchAll(new RegExp(`<rect class="${name}"[^>]*><title>([^<]*)`, 'g'))].map(([, of]) => of)
    expect(named('seen')).toEqual(['2026-03-28: 5', '2026-03-29: 10 so far', '2026-03-28: 4'])
    expect(named('come')).toEqual(['2026-03-29: about 20.0 in the end, 14 to 26'])
    expect(named('open')).toEqual(['2026-03-30: 1 so far, too few to tell how many it will be'])
    expect(svg).toContain('16 purchases, 32.00 EUR, about 28 in the end')
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })

  it('has no text that could be markup, and a height for nothing', () => {
    const svg = purchasesPicture({ ...ANSWER, advertiser_id: '<b>&"', purchases: [], totals: [] })
    expect(svg).toContain('&lt;b&gt;&amp;&quot;')
    expect(svg).not.toContain('<b>')
    expect(svg).toContain('>none</text>')
  })
})

describe('rates', () => {
  it('make one currency of all: counts are added, values worth what the table says', () => {
    const { purchases, totals } = inOneCurrency(ANSWER, { to: 'EUR', rates: { USD: 0.5 } })
    expect(purchases.map(({ day, id, currency, count, value }) => [day, id, currency, count, value])).toEqual([
      [0, 'hat', 'EUR', 7, 10],
      [0, '<shoe>', 'EUR', 2, 4],
      [1, 'shoe', 'EUR', 10, 20],
      [2, 'shoe', 'EUR', 1, 2],
    ])
    expect(totals.map(({ day, count, value, state }) => [day, count, value, state])).toEqual([
      [0, 9, 14, 'mature'],
      [1, 10, 20, 'estimated'],
      [2, 1, 2, 'too_few'],
      [null, 20, 36, 'estimated'],
    ])
    // What is certain of one adds to what is estimated of the other.
    expect(totals.at(-1)!.estimate).toEqual({ count: 32, low: 24, high: 40, value: 60 })
  })

  it('leave nothing to say of a sum of which a part cannot be told', () => {
    const usd = { ...OPEN, day: 2, currency: 'USD' }
    for (const purchases of [
      [LITTLE, usd],
      [usd, LITTLE],
    ]) {
      const sum = inOneCurrency({ ...ANSWER, purchases }, { to: 'EUR', rates: { USD: 2 } }).purchases
      expect(sum).toMatchObject([{ count: 11, value: 42, state: 'too_few', estimate: null }])
    }
  })

  it('are needed for every currency of the report', () => {
    expect(() => inOneCurrency(ANSWER, { to: 'USD', rates: {} })).toThrow('--rates has none for EUR')
  })

  it('are refused where the file is none', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-rates-'))
    const path = join(dir, 'rates.json')
    for (const text of ['{"to": "EUR"}', '{"to": "EUR", "rates": {"USD": 0}}', '{"to": "EUR", "rates": {}, "of": 1}']) {
      writeFileSync(path, text)
      expect(() => readRates(path)).toThrow('must be like {"to": "EUR"')
    }
    writeFileSync(path, '{"to": "EUR", "rates": {"USD": 0.9}}')
    expect(readRates(path)).toEqual({ to: 'EUR', rates: { USD: 0.9 } })
    await rm(dir, { recursive: true })
  })
})
