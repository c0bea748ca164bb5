// The features of the node: what each is, who owns it, what it costs, where it is kept, and how fresh it is there. Words that are
// looked for may be anywhere in a row.

import { Component, type ComponentChild, h } from 'preact'
import type { StatusAnswer } from '../../client/holdfast.ts'
import type { Feature } from './look.ts'
import { tableHead } from './table-head.ts'
import { countText, durationText, timeText } from './text.ts'

interface FeatureTableProps {
  readonly features: readonly Feature[]
  /** null: it may not be seen, so nobody knows how fresh features are. */
  readonly status: StatusAnswer | null
}

const COLUMNS = ['Feature', 'Owner', 'Bytes a key, at most', 'Kept in', 'Newest event', 'Complete through']

export class FeatureTable extends Component<FeatureTableProps, { readonly words: string }> {
  override state = { words: '' }

  override render({ features, status }: FeatureTableProps): ComponentChild {
    const found = features.filter((feature) => hasWords(feature, this.state.words))
    const of = found.length === features.length ? '' : `${countText(found.length)} of `
    return h('section', { class: 'card', 'aria-labelledby': 'features-title' }, [
      h('h2', { id: 'features-title' }, `Features: ${of}${countText(features.length)}`),
      h('label', null, [
        'Find in names, words, owners, stages',
        h('input', {
          ...{ type: 'search', name: 'find-feature', autocomplete: 'off', spellcheck: false, value: this.state.words },
          onInput: (event: InputEvent) => this.setState({ words: (event.currentTarget as HTMLInputElement).value }),
        }),
      ]),
      h('div', { class: 'features-scroll', tabIndex: 0, role: 'group', 'aria-labelledby': 'features-title' }, [
        h('table', { role: 'table', class: 'tasks features' }, [
          tableHead(COLUMNS),
          h(
            'tbody',
            null,
            found.map((feature) => rowOf(feature, status)),
          ),
        ]),
      ]),
    ])
  }
}

/** Whether all words are in what the row says, large and small letters alike. */
export function hasWords(feature: Feature, words: string): boolean {
  const { entity, feature: name, owner, stage, description, how } = feature
  const text = [`${entity}.${name}`, owner, stage, description, how].join('\n').toLowerCase()
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}

function rowOf(feature: Feature, status: StatusAnswer | null): ComponentChild {
  const { entity, feature: name, how, description } = feature
  const id = `${entity}.${name}`
  return h('tr', { key: id, role: 'row', 'data-feature': id }, [
    h('th', { role: 'rowheader', scope: 'row', title: description }, [
      h('span', { class: 'key' }, id),
      h('span', { class: 'of' }, how),
    ]),
    cellsOf(feature, status).map((content, i) => h('td', { role: 'cell', 'data-label': COLUMNS[i + 1] }, content)),
  ])
}

function cellsOf({ owner, bytes_max, stage }: Feature, status: StatusAnswer | null): ComponentChild[] {
  const tasks = status?.tasks.filter((task) => task.stage === stage) ?? []
  const events = tasks.flatMap(({ last_event }) => last_event ?? [])
  const watermarks = tasks.flatMap(({ watermark }) => watermark ?? [])
  // One that has no watermark yet promises nothing.
  const isPromised = tasks.length > 0 && watermarks.length === tasks.length
  return [
    owner ?? '–',
    bytesText(bytes_max),
    stage,
    status === null || events.length === 0 ? '–' : ageOf(Math.max(...events), status.now_ms),
    status === null || !isPromised ? '–' : ageOf(Math.min(...watermarks), status.now_ms),
  ]
}

function bytesText(bytes: number | null): string {
  if (bytes === null) return '–'
  return bytes === 0 ? 'computed' : countText(bytes)
}

/** By the clock of the node. */
function ageOf(ms: number, nodeMs: number): ComponentChild {
  const text = ms > nodeMs ? `${durationText(ms - nodeMs)} ahead` : `${durationText(nodeMs - ms)} old`
  return h('time', { datetime: new Date(ms).toISOString(), title: timeText(ms, nodeMs) }, text)
}
