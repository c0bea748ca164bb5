// Spoiled features of the application: each takes a directory with the right files and makes one value wrong by as little as
// its feature can be wrong, which the oracle must find. What can be wrong with any file of lines is in spoil.ts.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FEATURES, rewrite, type Spoil, sortedText } from './spoil.ts'

type Value = number | string | unknown[]
interface Line {
  readonly entity: string
  readonly feature: string
  readonly key: string
  readonly value: Value
}

/** Changes the first line of a feature for which it can be changed; `of` is `entity.feature`. */
function line(of: string, name: string, change: (line: Line) => Partial<Line> | null): Spoil {
  const spoil = (dir: string): void => {
    const path = join(dir, FEATURES)
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    const at = lines.findIndex((text) => {
      const row: Line = JSON.parse(text)
      return `${row.entity}.${row.feature}` === of && change(row) !== null
    })
    if (at === -1) throw new Error(`no line of ${of} can be spoiled so`)
    const spoiled = rewrite(lines[at]!, (row) => ({ ...row, ...change(row as unknown as Line) }))
    writeFileSync(path, sortedText(lines.with(at, spoiled)))
  }
  return { name: `${of}: ${name}`, file: FEATURES, spoil }
}

const number = (of: string, name: string, change: (value: number) => number): Spoil =>
  line(of, name, ({ value }) => ({ value: change(value as number) }))

/** Changes a list; undefined: this one cannot be. */
const list = (of: string, name: string, change: (value: readonly unknown[]) => unknown[] | undefined): Spoil =>
  line(of, name, ({ value }) => {
    const changed = change(value as unknown[])
    return changed === undefined ? null : { value: changed }
  })

const [longer, shorter] = [1 + Number.EPSILON, 1 - Number.EPSILON / 2]
const moreThanOne = (all: readonly unknown[]): boolean => all.length > 1

const heavier = (value: Value): Value => (value as [string, number][]).map(([id, weight]) => [id, weight + 1])

/** Every spoiled feature, in a fixed order. */
export const FEATURE_SPOILS: readonly Spoil[] = [
  ...['1h', '24h', '7d'].map((window) => number(`user.page_views_${window}`, 'one more', (n) => n + 1)),
  number('user.clicks_28d', 'one less', (n) => n - 1),
  number('user.spend_usd_28d', 'a millionth more', (n) => n + 1e-6),
  number('user.click_rate_7d', 'the next number', (n) => n * longer),
  number('advertiser.order_rate_28d', 'the number before', (n) => n * shorter),
  number('user.orders_by_cart_add_28d', 'the next number', (n) => n * longer),
  number('advertiser.order_value_usd_28d', 'the next number', (n) => n * longer),
  number('advertiser.order_value_variance_usd_28d', 'the next number', (n) => n * longer),
  number('user.since_click', 'a millisecond more', (n) => n + 0.001),
  number('user_advertiser.since_click', 'a millisecond less', (n) => n - 0.001),
  number('ad.clickers_7d', 'one more, of few', (n) => n + 1),
  line('page.visitors_24h', 'an estimate further off than it may be', ({ value }) =>
    (value as number) > 200 ? { value: Math.round((value as number) * 1.4) } : null,
  ),
  line('page.visitors_24h', 'an estimate that is no whole number', ({ value }) =>
    (value as number) > 200 ? { value: (value as number) + 0.5 } : null,
  ),
  line('user.last_device', 'another id', ({ value }) => ({ value: `${value}s` })),
  list('user.last_pages', 'without the oldest', (all) => (moreThanOne(all) ? all.slice(0, -1) : undefined)),
  list('user.last_pages', 'without the newest', (all) => (moreThanOne(all) ? all.slice(1) : undefined)),
  list('user.last_pages', 'the oldest first', (all) => (all[0] === all.at(-1) ? undefined : all.toReversed())),
  line('user.favourite_advertisers_28d', 'weights more by one', ({ value }) => ({ value: heavier(value) })),
  list('user.favourite_advertisers_28d', 'without the last', (all) =>
    moreThanOne(all) ? all.slice(0, -1) : undefined,
  ),
  line('user.favourite_advertisers_28d', 'of more than are counted, weights more by one', ({ key, value }) =>
    key === 'everywhere' ? { value: heavier(value) } : null,
  ),
  line('user_advertiser.clicks_28d', 'the key turned round', ({ key }) => ({
    key: JSON.stringify(JSON.parse(key).reverse()),
  })),
  line('user_campaign.clicks_7d', 'the key with a space', ({ key }) => ({ key: key.replace(',', ', ') })),
  line('user_ad.clicks_7d', 'of another entity', () => ({ entity: 'user_advertiser' })),
  line('user.clicks_24h', 'of another window', () => ({ feature: 'clicks_7d' })),
]
