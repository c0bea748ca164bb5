// What became of the events so far, and per second: the numbers to be seen from across the room.

import { type ComponentChild, h } from 'preact'
import type { Events } from './rates.ts'
import { countText, rateText } from './text.ts'

interface TotalsProps {
  readonly events: Events
  /** A second; null: not known. */
  readonly rates: Events | null
}

const KINDS = [
  { name: 'accepted', of: 'accepted', label: 'Events accepted', hint: 'each counted exactly once' },
  { name: 'duplicates', of: 'duplicates', label: 'Duplicates', hint: 'seen before, left out' },
  { name: 'dead-letters', of: 'deadLetters', label: 'Dead letters', hint: 'invalid, kept aside with the reason' },
] as const

export function Totals({ events, rates }: TotalsProps): ComponentChild {
  return h(
    'section',
    { class: 'totals', 'aria-label': 'Totals' },
    KINDS.map(({ name, of, label, hint }) =>
      h('div', { class: `card total ${name}`, 'data-total': name }, [
        h('h2', null, label),
        h('p', { class: 'big' }, countText(events[of])),
        h('p', { class: 'rate' }, rates === null ? 'rate not known' : `${rateText(rates[of])} per second`),
        h('p', { class: 'hint' }, hint),
      ]),
    ),
  )
}
