// Why a conversion is credited to whom it is: its id is asked for once, and the answer shown as a table of touches and windows.

import { Component, type ComponentChild, h } from 'preact'
import type { ReadAttributionAnswer } from '../../client/holdfast.ts'
import type { Part } from './look.ts'
import { tableHead } from './table-head.ts'
import { durationText } from './text.ts'
import { isKey } from './watch-list.ts'

/** A conversion that somebody asked about; seen: null while the node is asked. */
export interface AskedConversion {
  readonly conversion: string
  readonly seen: Part<ReadAttributionAnswer> | null
}

type Attribution = ReadAttributionAnswer['attributions'][number]
type Lane = Attribution['windows'][number]

interface ConversionViewProps {
  /** null: nobody has asked yet. */
  readonly asked: AskedConversion | null
  readonly onAsk: (conversion: string) => void
}

export function ConversionView({ asked, onAsk }: ConversionViewProps): ComponentChild {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const field = form.elements.namedItem('conversion') as HTMLInputElement
    field.setCustomValidity(isKey(field.value) ? '' : 'An id is 1 to 128 bytes without control characters.')
    if (form.reportValidity()) onAsk(field.value)
  }
  return h('section', { class: 'card conversion', 'aria-labelledby': 'conversion-title' }, [
    h('h2', { id: 'conversion-title' }, 'Who is credited with a conversion, and why'),
    h('form', { class: 'add', noValidate: true, onSubmit: submit }, [
      h('label', null, [
        'Conversion id',
        h('input', {
          ...{ name: 'conversion', autocomplete: 'off', autocapitalize: 'off', spellcheck: false },
          defaultValue: asked?.conversion ?? '',
          onInput: (event: InputEvent) => (event.currentTarget as HTMLInputElement).setCustomValidity(''),
        }),
      ]),
      h('button', { type: 'submit' }, 'Explain'),
    ]),
    h('div', { 'aria-live': 'polite' }, asked !== null && answerOf(asked)),
  ])
}

function answerOf({ conversion, seen }: AskedConversion): ComponentChild {
  if (seen === null) return h('p', { class: 'note' }, `Looking for ${conversion}`)
  if ('refusal' in seen) return h('p', { class: 'note' }, `${conversion}: ${seen.refusal}.`)
  const { attributions, more } = seen.answer
  return [
    attributions.map((one, i) =>
      h(OneConversion, { key: `${one.user_id} ${one.type} ${one.event_time} ${i}`, id: conversion, one }),
    ),
    more && h('p', { class: 'note' }, 'There are more conversions of this id: these are the newest.'),
  ]
}

interface OneProps {
  readonly id: string
  readonly one: Attribution
}

/** One conversion, by one model at a time. */
class OneConversion extends Component<OneProps, { readonly model: number }> {
  override state = { model: 0 }

  override render({ id, one }: OneProps): ComponentChild {
    const { touches, touches_total, windows, windows_left_out } = one
    const models = windows[0]?.models ?? []
    return h('div', { class: 'decision', 'data-conversion-of': one.user_id }, [
      h('p', { class: 'what' }, `${one.type} ${id} of ${one.user_id} for ${one.advertiser_id}`),
      h('p', null, factsOf(one).join(' · ')),
      h('p', { class: 'hint' }, `Whose: ${one.owner_why}.`),
      h(
        'p',
        { class: one.outcome === 'credited' ? 'hint' : '' },
        `${one.outcome === 'credited' ? 'Credited' : 'Not credited'}: ${one.outcome_why}.`,
      ),
      models.length > 1 && this.#choice(models.map(({ model }) => model)),
      touches.length > 0 && matrixOf(one, this.state.model),
      touches.length < touches_total &&
        h('p', { class: 'note' }, `And ${touches_total - touches.length} older touches, which are not kept.`),
      windows_left_out > 0 &&
        h('p', { class: 'note' }, `And ${windows_left_out} more windows, for which there is no room.`),
    ])
  }

  #choice(models: readonly string[]): ComponentChild {
    const choose = (event: Event) => this.setState({ model: (event.currentTarget as HTMLSelectElement).selectedIndex })
    return h('label', { class: 'model' }, [
      'Model',
      h(
        'select',
        { name: 'model', onChange: choose },
        models.map((model) => h('option', null, model)),
      ),
    ])
  }
}

function factsOf({ event_time, order_id, value, currency, late, revision }: Attribution): string[] {
  return [
    new Date(event_time).toISOString(),
    ...(order_id === null ? [] : [`order ${order_id}`]),
    ...(value === null ? [] : [`${value} ${currency ?? ''}`.trim()]),
    ...(late ? ['late'] : []),
    ...(revision > 0 ? [`said anew, revision ${revision}`] : []),
  ]
}

const laneName = ({ goal, window }: Lane): string => (goal === null ? window : `${goal} / ${window}`)

/** A row for each touch, the youngest first; a column for each window. */
function matrixOf({ touches, windows }: Attribution, model: number): ComponentChild {
  const columns = ['Touch', ...windows.map(laneName)]
  const rows = touches.map((touch, place) => {
    const { touch_id, type, age_ms, ad_id, has_click_id } = touch
    const named = has_click_id ? ', the conversion’s click_id' : ''
    return h('tr', { key: place, role: 'row', 'data-touch': touch_id }, [
      h('th', { role: 'rowheader', scope: 'row' }, [
        h('span', { class: 'key' }, touch_id),
        h('span', { class: 'of' }, `${type} of ${ad_id}, ${durationText(age_ms)} before${named}`),
      ]),
      windows.map((lane, i) => h('td', { role: 'cell', 'data-label': columns[i + 1] }, standing(lane, place, model))),
    ])
  })
  return h('div', { class: 'scroll', tabIndex: 0, role: 'group', 'aria-label': 'Touches and windows' }, [
    h('table', { role: 'table', class: 'tasks matrix' }, [tableHead(columns), h('tbody', null, rows.reverse())]),
  ])
}

function standing({ touches, models }: Lane, place: number, model: number): ComponentChild {
  const { out, why } = touches[place]!
  if (out !== null) return h('span', { class: 'of' }, why)
  const { credits, known } = models[model]!
  if (!known) return h('span', { class: 'of' }, 'not known: some candidates are not kept')
  const credit = credits.find(({ touch }) => touch === place)
  if (credit === undefined) return h('span', { class: 'of' }, 'a candidate, without credit')
  return h('span', { class: 'credited' }, [
    h('span', { class: 'value' }, String(Number(credit.credit.toPrecision(4)))),
    h('span', { class: 'of' }, credit.how),
  ])
}
