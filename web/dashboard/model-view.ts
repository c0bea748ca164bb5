// How good the scores of touches were: figures, the curve of calibration, entropy and calibration day by day, and versions of the model.
// MV1: each mark says in words what it shows; the figures stand beside as text. An open day is hollow: its touches are not all in yet.

import { type ComponentChild, h } from 'preact'
import type { ReadEvaluationAnswer, StatusAnswer } from '../../client/holdfast.ts'
import { type Box, type Chart, calibrationChart, dayChart } from '../../sinks/charts.ts'
import type { Part } from './look.ts'
import { tableHead } from './table-head.ts'
import { countText, durationText, timeText } from './text.ts'

/** What the page knows of the model; seen: null while the node is asked for the first time. */
export interface SeenModel {
  /** null: the first that is configured. */
  readonly window: string | null
  readonly seen: Part<ReadEvaluationAnswer> | null
}

/** The version that scores; null: the node does not say. */
type Live = StatusAnswer['model']

interface ModelViewProps {
  readonly live: Live
  readonly model: SeenModel
  /** Those that can be asked about. */
  readonly windows: readonly string[]
  readonly nowMs: number
  readonly onWindow: (window: string) => void
}

type Figures = ReadEvaluationAnswer['total']
type Day = ReadEvaluationAnswer['days'][number]

/** CSS pixels at its largest; it shrinks with its place. */
const BOX: Box = { width: 380, height: 250, left: 52, right: 24, top: 10, bottom: 40 }
const DOT_RADIUS = 3.5
/** The newest; the read API has all. */
const VERSIONS_MAX = 12
const FALLBACK = '0'
const COLUMNS = ['Version', 'State', 'Touches', 'Converted', 'Entropy', 'AUC', 'Calibration', '95 %']

export function ModelView({ model, live, windows, nowMs, onWindow }: ModelViewProps): ComponentChild {
  const { window, seen } = model
  const shown = seen !== null && 'answer' in seen ? seen.answer.window : window
  return h('section', { class: 'card model', 'aria-labelledby': 'model-title' }, [
    h('h2', { id: 'model-title' }, 'How good the scores were that touches got'),
    h(
      'label',
      { class: 'model-window' },
      'Window of the scores',
      h(
        'select',
        { onChange: (event: Event) => onWindow((event.currentTarget as HTMLSelectElement).value) },
        windows.map((name) => h('option', { key: name, value: name, selected: name === shown }, name)),
      ),
    ),
    live !== null && h('p', { class: live.stale ? 'live-model wrong' : 'live-model' }, liveText(live)),
    seen === null
      ? h('p', { class: 'note' }, 'Looking for scores')
      : 'refusal' in seen
        ? h('p', { class: 'note' }, `There are no figures: ${seen.refusal}.`)
        : h(Evaluated, { answer: seen.answer, live, nowMs }),
  ])
}

/** What scores now, and what did not become live. */
function liveText({ version, age_ms, stale, refused }: NonNullable<Live>): string {
  const kept = Object.entries(refused).map(([why, count]) => `${countText(count)} (${why})`)
  const others = kept.length === 0 ? '' : ` Published, and refused: ${kept.join(', ')}.`
  if (version === 0 || age_ms === null) return `No version is live: rates answer.${others}`
  return `Version ${version} scores, published ${durationText(age_ms)} ago${stale ? ', which is too long' : ''}.${others}`
}

interface EvaluatedProps extends Pick<ModelViewProps, 'live' | 'nowMs'> {
  readonly answer: ReadEvaluationAnswer
}

function Evaluated({ answer, live, nowMs }: EvaluatedProps) {
  const { window, total, estimated, rows, through, days, curve, slices } = answer
  const upTo = through === null ? 'no label row has come yet' : `label rows up to ${timeText(through, nowMs)}`
  const unused = rows.incomplete + rows.unscored + rows.expired + rows.other
  return h('div', null, [
    h('dl', { class: 'figures' }, [
      figureOf('Normalised entropy', fixed(total.normalised_entropy), 'less is better; 1: who always says the rate'),
      figureOf('AUC', fixed(total.auc), total.auc_error === null ? '' : `at most ${fixed(total.auc_error)} off`),
      figureOf('Calibration', fixed(total.calibration), rangeText(total)),
      figureOf(
        'Calibration of open windows',
        fixed(estimated?.calibration ?? null),
        estimated === null ? 'too little is known, or none is open' : `estimated, ${rangeText(estimated)}`,
      ),
    ]),
    h('p', { class: 'hint' }, [
      `${window}: ${countText(total.touches)} touches whose window is over, ${countText(total.positives)} of them converted · ${upTo} · `,
      `scored by the fallback ${countText(rows.fallback)}, not used ${countText(unused)}`,
    ]),
    total.touches > 0 || estimated !== null
      ? h('div', { class: 'charts' }, [
          chartOf('What was promised and what came', 'promised', calibrationChart(curve, BOX), 'calibration-curve'),
          chartOf('Normalised entropy', 'day of the touch', dayChart(days.map(entropyOf), BOX), 'entropy-days'),
          chartOf('Calibration', 'day of the touch', dayChart(days.map(calibrationOf), BOX), 'calibration-days'),
        ])
      : h('p', { class: 'note' }, 'No window of a scored touch is over yet.'),
    slices.length > 0 && versionsOf(slices, live),
  ])
}

function figureOf(name: string, value: string, more: string): ComponentChild {
  return h('div', { key: name, 'data-figure': name }, [
    h('dt', null, name),
    h('dd', { class: 'value' }, value),
    h('dd', { class: 'of' }, more),
  ])
}

const entropyOf = ({ day, normalised_entropy: value, mature }: Day) => ({ day, value, isOpen: !mature })

/** Of an open day what is estimated; that of its touches whose window is over would be of the morning alone. */
function calibrationOf({ day, mature, estimated, ...figures }: Day) {
  const { calibration: value, calibration_low: low, calibration_high: high } = estimated ?? figures
  return { day, value, low, high, isOpen: !mature }
}

function chartOf(title: string, below: string, { box, ...chart }: Chart, id: string): ComponentChild {
  const { width, height, left, right, top, bottom } = box
  const [floor, end] = [height - bottom, width - right]
  const words = chart.marks.length === 0 ? 'nothing is known yet' : chart.marks.map((mark) => mark.title).join('; ')
  return h('figure', { key: id, 'data-chart': id }, [
    h('figcaption', null, title),
    h('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${title}: ${words}` }, [
      chart.yTicks.map(({ at, text }) => [
        h('path', { class: 'grid', d: `M${left} ${at}H${end}` }),
        h('text', { class: 'end', x: left - 7, y: at + 4 }, text),
      ]),
      chart.xTicks.map(({ at, text }) => h('text', { class: 'middle', x: at, y: floor + 16 }, text)),
      h('text', { class: 'middle', x: (left + end) / 2, y: height - 4 }, below),
      h('path', {
        class: 'reference',
        d: `M${chart.reference.x1} ${chart.reference.y1}L${chart.reference.x2} ${chart.reference.y2}`,
      }),
      h('path', { class: 'line', d: chart.line === '' ? `M${left} ${top}` : chart.line }),
      chart.marks.map(({ x, y, low, high, isOpen, title: said }) =>
        h('g', { class: isOpen ? 'mark open' : 'mark' }, [
          h('title', null, said),
          h('path', { d: `M${x} ${low}V${high}` }),
          h('circle', { cx: x, cy: y, r: DOT_RADIUS }),
        ]),
      ),
    ]),
  ])
}

function versionsOf(slices: ReadEvaluationAnswer['slices'], live: Live): ComponentChild {
  const newest = [...slices].sort((a, b) => Number(b.id) - Number(a.id))
  const rest = newest.length - VERSIONS_MAX
  return [
    h('table', { role: 'table', class: 'tasks versions' }, [
      tableHead(COLUMNS),
      h(
        'tbody',
        null,
        newest.slice(0, VERSIONS_MAX).map((slice) => rowOf(slice, live)),
      ),
    ]),
    rest > 0 && h('p', { class: 'hint' }, `and ${countText(rest)} older versions`),
  ]
}

function rowOf({ id, ...figures }: ReadEvaluationAnswer['slices'][number], live: Live): ComponentChild {
  const { touches, positives, normalised_entropy, auc, calibration } = figures
  const name = id === FALLBACK ? 'the fallback' : id === '' ? 'the rest' : id
  const state = live === null ? '–' : id === String(live.version) ? 'scores now' : 'scored before'
  const cells = [
    state,
    countText(touches),
    countText(positives),
    fixed(normalised_entropy),
    fixed(auc),
    fixed(calibration),
  ]
  return h('tr', { key: id, role: 'row', 'data-version': id }, [
    h('th', { role: 'rowheader', scope: 'row' }, name),
    [...cells, rangeText(figures)].map((content, i) =>
      h('td', { role: 'cell', 'data-label': COLUMNS[i + 1] }, content),
    ),
  ])
}

const fixed = (value: number | null): string => (value === null ? '–' : value.toFixed(3))

function rangeText({
  calibration_low: low,
  calibration_high: high,
}: Pick<Figures, 'calibration_low' | 'calibration_high'>): string {
  return low === null || high === null ? '–' : `${fixed(low)} to ${fixed(high)}`
}
