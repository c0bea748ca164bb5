// The most viewed pages of the last hour, largest first.

import { type ComponentChild, h } from 'preact'
import type { TopFeaturesAnswer } from '../../client/holdfast.ts'
import type { Part } from './look.ts'
import { countText } from './text.ts'

export function TopTable({ top }: { readonly top: Part<TopFeaturesAnswer> }): ComponentChild {
  return h('section', { class: 'card', 'aria-labelledby': 'top-title' }, [
    h('h2', { id: 'top-title' }, 'Most viewed pages, last hour'),
    'answer' in top
      ? listOf(top.answer)
      : h('p', { class: 'note' }, `The most viewed pages cannot be shown: ${top.refusal}.`),
  ])
}

function listOf({ values, complete }: TopFeaturesAnswer): ComponentChild {
  if (values.length === 0) return h('p', { class: 'note' }, 'No page was viewed yet.')
  return [
    h('table', { class: 'top-list' }, [
      h('thead', null, h('tr', null, [h('th', { scope: 'col' }, 'Page'), h('th', { scope: 'col' }, 'Views')])),
      h(
        'tbody',
        null,
        values.map(({ key, value }) =>
          h('tr', { key, 'data-top': key }, [h('th', { scope: 'row' }, key), h('td', null, countText(value))]),
        ),
      ),
    ]),
    !complete && h('p', { class: 'note' }, 'Of a part of the pages: there are more than one look counts.'),
  ]
}
