// What the page's address says beside its node: the watched values, the conversion that is explained, whose purchases are shown,
// and of which window the model's scores are.
// AD1: what the address says and what the page shows are the same: parse(format(shown)) is shown, for any ids.
// AD2: nothing is asked of the node that it would refuse for its form: an id that is none is left out.

import type { AskedLane } from './purchases-view.ts'
import { formatWatchList, isKey, parseWatchList, type Watched, type WatchList } from './watch-list.ts'

export interface Address {
  readonly watch: WatchList
  /** null: none is explained. */
  readonly conversion: string | null
  /** null: nobody's are shown. */
  readonly purchases: AskedLane | null
  /** null: the first that is configured. */
  readonly model: string | null
}

/** `search` as location.search has it. */
export function parseAddress(search: string): Address {
  const parts = new URLSearchParams(search)
  const id = (name: string): string | null => {
    const text = parts.get(name)
    return text !== null && isKey(text) ? text : null
  }
  const advertiser = id('purchases')
  const purchases = advertiser === null ? null : { advertiser, goal: id('goal'), window: id('window') }
  return { watch: parseWatchList(search), conversion: id('conversion'), purchases, model: id('model') }
}

/** As location.search would have it; empty where there is nothing to say. */
export function formatAddress(shown: Omit<Address, 'watch'> & { rows: readonly Watched[] }): string {
  const { rows, conversion, purchases, model } = shown
  const named = {
    conversion,
    ...(purchases === null ? {} : { purchases: purchases.advertiser, goal: purchases.goal, window: purchases.window }),
    model,
  }
  const parts = [
    formatWatchList(rows).slice(1),
    ...Object.entries(named).map(([name, text]) => (text === null ? '' : `${name}=${encodeURIComponent(text)}`)),
  ].filter((part) => part !== '')
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}
