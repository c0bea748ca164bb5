// The purchases of a generated world, as `holdfast run` keeps them and `report purchases` says them, against sums of the attributions and
// label rows that the run wrote: every advertiser, level, window and day, in time zones whose days are not those of UTC.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { planOfDirectory, stateOpener } from '../../cli/inspect-commands.ts'
import { PURCHASE_LEVELS } from '../../operators/purchase-tiles.ts'
import { askOfPurchases, purchasesAnswer } from '../../sinks/purchase-format.ts'
import type { PurchasesAnswer } from '../../sinks/purchase-schemas.ts'
import { isRefusal } from '../../sinks/read-ask.ts'
import type { Plan } from '../../topology/plan.ts'
import { purchasesInStates } from '../../topology/purchase-reads.ts'
import { type PurchaseSum, purchaseSums } from '../oracle/purchases.ts'
import { holdfast, workDirectory } from './command.ts'

const ADVERTISERS = 3
const WINDOWS = ['1d_click', '7d_click', '28d_click', '1d_view', '7d_click_1d_view']

let plan: Plan
let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string): string => join(work.path, name)
const linesOf = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line)]
      } catch {
        return []
      }
    })

beforeAll(async () => {
  work = await workDirectory()
  const world = ['--events', '12000', '--days', '20', '--advertisers', String(ADVERTISERS), '--ads', '12']
  await holdfast(['generate', '--world', '--out', at('world.ndjson'), ...world, '--campaigns', '6', '--users', '500'])
  writeFileSync(at('config.json'), JSON.stringify({ advertisers: { adv1: { timeZone: 'Asia/Kathmandu' } } }))
  const options = ['--drain', '--config', at('config.json'), '--partitions', '2', '--log-bytes', String(2 ** 28)]
  const run = ['run', '--input', at('world.ndjson'), '--out', at('out'), '--data-dir', at('data'), ...options]
  expect((await holdfast(run)).code).toBe(0)
  plan = await planOfDirectory(at('data'))
})
afterAll(async () => work[Symbol.asyncDispose]())

/** The answers to these questions of the run's directory. */
async function asked(advertiser: string, query: Readonly<Record<string, string>>): Promise<PurchasesAnswer> {
  const ask = askOfPurchases(advertiser, query, () => 'UTC')
  if (isRefusal(ask)) throw new Error(ask.message)
  const answer = purchasesAnswer(await purchasesInStates(plan, ask, stateOpener(at('data'))))
  if ('error' in answer) throw new Error(answer.error.message)
  return answer.body
}

describe('purchases of a world', () => {
  // Windows have no part in what a day is: in other zones one of them is enough.
  it.each<[string, readonly string[]]>([
    ['UTC', WINDOWS],
    ['Asia/Kathmandu', ['7d_click_1d_view']],
    ['America/New_York', ['7d_click_1d_view']],
  ])(
    'are what its attributions and refunds add up to, by days of %s',
    async (time_zone, windows) => {
      const [attributions, labels] = ['attributions', 'labels'].map((name) => linesOf(at(`out/${name}.ndjson`)))
      const isAsked = ({ window }: { readonly window: string }) => windows.includes(window)
      const [credits, rows] = [attributions!.filter(isAsked), labels!.filter(isAsked)]
      const expected = purchaseSums(linesOf(at('world.ndjson')), credits, rows, time_zone)
      const told = new Map<string, PurchaseSum>()
      for (let i = 0; i < ADVERTISERS; i++)
        for (const by of PURCHASE_LEVELS)
          for (const window of windows) {
            const advertiser = `adv${i}`
            const { days, purchases } = await asked(advertiser, { by, window, time_zone, from: '2025-02-01' })
            for (const { day, id, currency, credited, taken_back, ...values } of purchases)
              told.set(JSON.stringify([advertiser, by, id, window, currency, days[day]!.day]), {
                ...{ credited, takenBack: taken_back },
                creditedMicro: BigInt(Math.round(values.credited_value * 1e6)),
                takenBackMicro: BigInt(Math.round(values.taken_back_value * 1e6)),
              })
          }
      expect(told).toEqual(expected)
      const sums = [...expected.values()]
      // Not of a world in which nothing happens.
      expect(sums.length).toBeGreaterThan(50)
      expect(sums.some(({ takenBackMicro }) => takenBackMicro > 0n)).toBe(true)
    },
    60_000,
  )

  it('are printed with the days of the advertiser’s time zone, drawn, and summed with rates alone', async () => {
    const report = (...options: string[]) =>
      holdfast(['report', 'purchases', 'adv1', '--data-dir', at('data'), '--window', '7d_click_1d_view', ...options])
    const { stdout, code } = await report('--svg', at('p.svg'))
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^purchases of adv1 by advertiser · 7d_click_1d_view · days of touches in Asia\/Kathmandu · /,
    )
    expect(stdout).toMatch(/\n20\d\d-\d\d-\d\d +\d+ +[\d.]+ +\d+ +[\d.]+ +mature\n/)
    expect(readFileSync(at('p.svg'), 'utf8')).toContain('<rect class="seen"')
    writeFileSync(at('rates.json'), JSON.stringify({ to: 'CHF', rates: {} }))
    const refused = await report('--rates', at('rates.json'))
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/--rates has none for [A-Z]{3}/)])
  })
})
