// The watched values, and the form that adds one. The list itself is in the address (watch-list.ts).

import { type ComponentChild, h } from 'preact'
import type { Feature, Part, WatchedValue } from './look.ts'
import { countText, durationText, timeText } from './text.ts'
import { isKey, nameOf, WATCHED_MAX, type Watched, type WatchList } from './watch-list.ts'
import type { Watcher } from './watcher.ts'

interface WatchTableProps {
  readonly watch: WatchList
  readonly watched: ReadonlyMap<string, Part<WatchedValue>>
  readonly features: Part<readonly Feature[]>
  /** Milliseconds since 1970, of the look. */
  readonly seenMs: number
  readonly watcher: Pick<Watcher, 'watch' | 'unwatch'>
}

export function WatchTable({ watch, watched, features, seenMs, watcher }: WatchTableProps): ComponentChild {
  const { rows, leftOut } = watch
  return h('section', { class: 'card watch', 'aria-labelledby': 'watch-title' }, [
    h('h2', { id: 'watch-title' }, 'Watched values'),
    rows.length === 0
      ? h(
          'p',
          { class: 'note' },
          'Add a key below to see its value, live. The list is kept in the address of this page.',
        )
      : h('table', null, [
          h(
            'thead',
            null,
            h(
              'tr',
              null,
              ['Key', 'Value', 'As of', 'Epoch', ''].map((name) => h('th', { scope: 'col' }, name)),
            ),
          ),
          h(
            'tbody',
            null,
            rows.map((row) => rowOf(row, watched.get(nameOf(row)), seenMs, watcher)),
          ),
        ]),
    leftOut > 0 &&
      h(
        'p',
        { class: 'note' },
        `Left out of the address: ${leftOut}. An entry is feature/entity/key; at most ${WATCHED_MAX}.`,
      ),
    'answer' in features
      ? h(AddForm, {
          features: features.answer,
          isFull: rows.length >= WATCHED_MAX,
          onAdd: (row) => watcher.watch(row),
        })
      : h('p', { class: 'note' }, `Values cannot be read: ${features.refusal}.`),
  ])
}

function rowOf(
  row: Watched,
  seen: Part<WatchedValue> | undefined,
  seenMs: number,
  watcher: WatchTableProps['watcher'],
): ComponentChild {
  const { feature, entity, key } = row
  return h('tr', { key: nameOf(row), 'data-watched': nameOf(row) }, [
    h('th', { scope: 'row' }, [
      h('span', { class: 'key' }, key),
      h('span', { class: 'of' }, `${feature} by ${entity}`),
    ]),
    ...cellsOf(seen, seenMs),
    h(
      'td',
      null,
      h(
        'button',
        {
          type: 'button',
          class: 'quiet',
          'aria-label': `Stop watching ${entity} ${key}`,
          onClick: () => watcher.unwatch(row),
        },
        '×',
      ),
    ),
  ])
}

/** Lists as their ids, newest or most frequent first. */
function valueText(value: WatchedValue['value']): string {
  if (value === null) return 'absent'
  if (typeof value === 'number') return countText(value)
  return typeof value === 'string'
    ? value
    : value.map((one) => (typeof one === 'string' ? one : one.join(' x '))).join(', ')
}

function cellsOf(seen: Part<WatchedValue> | undefined, seenMs: number): ComponentChild[] {
  if (seen === undefined) return [h('td', { colspan: 3, class: 'note' }, 'reading')]
  if ('refusal' in seen) return [h('td', { colspan: 3, class: 'note' }, seen.refusal)]
  const { value, asOf, epoch } = seen.answer
  return [
    // A new element for a new value: its appearance is what the eye catches.
    h('td', { class: 'value' }, h('span', { key: JSON.stringify(value), class: 'fresh' }, valueText(value))),
    h('td', null, asOf === null ? 'nothing yet' : asOfTime(asOf, seenMs)),
    h('td', null, countText(epoch)),
  ]
}

function asOfTime(asOf: number, seenMs: number): ComponentChild {
  const ageMs = seenMs - asOf
  const title = ageMs < 0 ? `${durationText(-ageMs)} ahead` : `${durationText(ageMs)} ago`
  return h('time', { datetime: new Date(asOf).toISOString(), title }, timeText(asOf, seenMs))
}

interface AddFormProps {
  readonly features: readonly Feature[]
  readonly isFull: boolean
  readonly onAdd: (row: Watched) => void
}

function AddForm({ features, isFull, onAdd }: AddFormProps): ComponentChild {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const { feature: choice, key } = Object.fromEntries(new FormData(form)) as Record<string, string>
    const field = form.elements.namedItem('key') as HTMLInputElement
    field.setCustomValidity(isKey(key!) ? '' : 'A key is 1 to 128 bytes without control characters.')
    if (!form.reportValidity()) return
    const { feature, entity } = features[Number(choice)]!
    onAdd({ feature, entity, key: key! })
    field.value = ''
  }
  return h('form', { class: 'add', noValidate: true, onSubmit: submit }, [
    h('label', null, [
      'Feature',
      h(
        'select',
        { name: 'feature' },
        features.map(({ feature, entity }, i) => h('option', { value: i }, `${feature} by ${entity}`)),
      ),
    ]),
    h('label', null, [
      'Key',
      h('input', {
        ...{ name: 'key', autocomplete: 'off', autocapitalize: 'off', spellcheck: false, placeholder: 'home' },
        onInput: (event: InputEvent) => (event.currentTarget as HTMLInputElement).setCustomValidity(''),
      }),
    ]),
    h('button', { type: 'submit', disabled: isFull }, isFull ? `At most ${WATCHED_MAX}` : 'Watch'),
  ])
}
