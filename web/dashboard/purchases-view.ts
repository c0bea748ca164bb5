// What the ads of an advertiser sold by last touch, the most first: asked for once, for touches of the last four weeks.
// PV1: of an ad the end is said where each of its open days has an estimate; estimates of sums with their range are the node's own.

import type { ComponentChild } from 'preact'
import { h } from 'preact'
import type { ReadPurchasesAnswer } from '../../client/holdfast.ts'
import type { Attribution } from './attribution-table.ts'
import type { Part } from './look.ts'
import { tableHead } from './table-head.ts'
import { countText, estimateText, moneyText } from './text.ts'
import { isKey } from './watch-list.ts'

/** Whose purchases, in which window. */
export interface AskedLane {
  readonly advertiser: string
  /** null: no goals are declared. */
  readonly goal: string | null
  /** null: the first that is configured. */
  readonly window: string | null
}

/** What somebody asked about; seen: null while the node is asked. */
export interface AskedPurchases extends AskedLane {
  readonly seen: Part<ReadPurchasesAnswer> | null
}

/** Of a currency: more stand in the report (docs/purchases.md). */
const ADS_MAX = 10
/** As operators/purchase-tiles.ts names it. */
const NO_CURRENCY = 'none'
const COLUMNS = ['Ad', 'Purchases', 'Value', 'In the end', 'Value then']

type Line = ReadPurchasesAnswer['purchases'][number]
type Total = ReadPurchasesAnswer['totals'][number]
type Lane = Pick<Attribution['lanes'][number], 'goal' | 'window'>

interface PurchasesViewProps {
  /** null: nobody has asked yet. */
  readonly asked: AskedPurchases | null
  /** What can be asked about; null: nobody knows. */
  readonly lanes: readonly Lane[] | null
  readonly onAsk: (lane: AskedLane) => void
}

export function PurchasesView({ asked, lanes, onAsk }: PurchasesViewProps): ComponentChild {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const field = form.elements.namedItem('advertiser') as HTMLInputElement
    field.setCustomValidity(isKey(field.value) ? '' : 'An id is 1 to 128 bytes without control characters.')
    if (!form.reportValidity()) return
    const choice = form.elements.namedItem('lane') as HTMLSelectElement | null
    const { goal, window } = lanes?.[choice?.selectedIndex ?? -1] ?? { goal: null, window: null }
    onAsk({ advertiser: field.value, goal, window })
  }
  return h('section', { class: 'card purchases', 'aria-labelledby': 'purchases-title' }, [
    h('h2', { id: 'purchases-title' }, 'What the ads of an advertiser sold'),
    h('form', { class: 'add', noValidate: true, onSubmit: submit }, [
      h('label', null, [
        'Advertiser id',
        h('input', {
          ...{ name: 'advertiser', autocomplete: 'off', autocapitalize: 'off', spellcheck: false },
          defaultValue: asked?.advertiser ?? '',
          onInput: (event: InputEvent) => (event.currentTarget as HTMLInputElement).setCustomValidity(''),
        }),
      ]),
      lanes !== null && lanes.length > 0 && laneChoice(lanes, asked),
      h('button', { type: 'submit' }, 'Show'),
    ]),
    h('div', { 'aria-live': 'polite' }, asked !== null && answerOf(asked)),
  ])
}

function laneChoice(lanes: readonly Lane[], asked: AskedLane | null): ComponentChild {
  const isAsked = ({ goal, window }: Lane): boolean => goal === (asked?.goal ?? null) && window === asked?.window
  return h('label', null, [
    'Attribution window',
    h(
      'select',
      { name: 'lane' },
      lanes.map((lane) => h('option', { key: laneName(lane), selected: isAsked(lane) }, laneName(lane))),
    ),
  ])
}

const laneName = ({ goal, window }: Lane): string => (goal === null ? window : `${goal} / ${window}`)

function answerOf({ advertiser, seen }: AskedPurchases): ComponentChild {
  if (seen === null) return h('p', { class: 'note' }, `Looking for ${advertiser}`)
  if ('refusal' in seen) return h('p', { class: 'note' }, `${advertiser}: ${seen.refusal}.`)
  const { advertiser_id, days, purchases, totals, curve, time_zone, through } = seen.answer
  const [first, last] = [days[0], days.at(-1)]
  const of = first === undefined ? 'no such day has begun yet' : `touches of ${first.day} to ${last!.day}, ${time_zone}`
  const upTo = through === null ? 'nothing has come yet' : `conversions up to ${new Date(through).toISOString()}`
  const byCurrency = [...Map.groupBy(purchases, ({ currency }) => currency)]
  return [
    h('p', { class: 'what' }, `${advertiser_id}, ${laneName(seen.answer)}`),
    h('p', { class: 'hint' }, `${of} · ${upTo}`),
    byCurrency.length === 0 && h('p', { class: 'note' }, 'No touch of these days is credited with a purchase.'),
    byCurrency.map(([currency, lines]) => tableOf(currency, lines, totals)),
    purchases.some(({ state }) => state !== 'mature') &&
      h('p', { class: 'hint' }, [
        'In the end: when the windows of all touches are closed. Of open ones it is estimated from ',
        `${countText(curve.own)} conversions of mature days (${countText(curve.all)} of all advertisers); refunds that are still to come `,
        'are not in it.',
      ]),
  ]
}

interface AdSum {
  readonly id: string
  readonly count: number
  readonly value: number
  /** Touches of some of its days may have conversions still. */
  readonly isOpen: boolean
  /** null: it is not known of all its days. */
  readonly inTheEnd: { readonly count: number; readonly value: number } | null
}

/** The most first; of equal ones by their ids. */
function adsOf(lines: readonly Line[]): AdSum[] {
  const ads = [...Map.groupBy(lines, ({ id }) => id)].map(([id, own]) => ({
    id,
    count: sum(own, ({ count }) => count),
    value: sum(own, ({ value }) => value),
    isOpen: own.some(({ state }) => state !== 'mature'),
    inTheEnd: own.some(({ state }) => state === 'too_few')
      ? null
      : { count: sum(own, (one) => endOfDay(one).count), value: sum(own, (one) => endOfDay(one).value) },
  }))
  return ads.sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1))
}

/** A mature day is what it is. */
const endOfDay = (line: Line): { readonly count: number; readonly value: number } => line.estimate ?? line

const sum = (lines: readonly Line[], of: (line: Line) => number): number =>
  lines.reduce((all, line) => all + of(line), 0)

function tableOf(currency: string, lines: readonly Line[], totals: readonly Total[]): ComponentChild {
  const ads = adsOf(lines)
  const total = totals.find((one) => one.day === null && one.currency === currency)!
  const title = currency === NO_CURRENCY ? 'without a currency' : `in ${currency}`
  const rows = ads.slice(0, ADS_MAX).map((ad) => rowOf(ad.id, ad, endOf(ad), { key: ad.id, 'data-ad': ad.id }))
  const all = ads.length === 1 ? 'One ad' : `All ${countText(ads.length)} ads`
  return h('table', { key: currency, role: 'table', class: 'tasks sold', 'data-currency': currency }, [
    h('caption', null, title),
    tableHead(COLUMNS),
    h('tbody', null, rows),
    h('tfoot', null, rowOf(all, total, endOfAll(total), { 'data-ad-total': currency })),
  ])
}

interface End {
  readonly count: string
  /** How it is known. */
  readonly how: string
  readonly value: string
}

function rowOf(
  name: string,
  { count, value }: { readonly count: number; readonly value: number },
  end: End,
  of: Readonly<Record<string, string>>,
): ComponentChild {
  const then = [h('span', { class: 'key' }, end.count), h('span', { class: 'of' }, end.how)]
  const cells = [countText(count), moneyText(value), h('span', null, then), end.value]
  return h('tr', { role: 'row', ...of }, [
    h('th', { role: 'rowheader', scope: 'row' }, name),
    cells.map((content, i) => h('td', { role: 'cell', 'data-label': COLUMNS[i + 1] }, content)),
  ])
}

const UNKNOWN = { count: '?', value: '?', how: 'windows are open: too few to tell' }

function endOf({ count, value, isOpen, inTheEnd }: AdSum): End {
  if (!isOpen) return { count: countText(count), value: moneyText(value), how: 'all windows are closed' }
  if (inTheEnd === null) return UNKNOWN
  const { count: counted, value: worth } = inTheEnd
  return { count: estimateText(counted), value: moneyText(worth), how: 'estimated: windows are open' }
}

function endOfAll({ count, value, state, estimate }: Total): End {
  if (state === 'mature') return { count: countText(count), value: moneyText(value), how: 'all windows are closed' }
  if (estimate === null) return UNKNOWN
  const range = `${countText(Math.floor(estimate.low))} to ${countText(Math.ceil(estimate.high))}`
  const how = `estimated: nine times of ten ${range}`
  return { count: estimateText(estimate.count), value: moneyText(estimate.value), how }
}
