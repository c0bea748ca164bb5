// The graph as a picture: the tasks that take events in on the left, those of all stages that they send to on the right, a line for
// each stream between them: no record takes more than one hop.
// TG1: it says nothing that the table of tasks does not say in words; who cannot see it is sent there.

import { type ComponentChild, h } from 'preact'
import type { StatusAnswer } from '../../client/holdfast.ts'
import type { Task } from './rates.ts'
import { countText, durationText } from './text.ts'

/** Units of the picture, which is scaled to its place. */
const BOX = { width: 250, height: 66, gap: 16, between: 120, padding: 12 }
const HEAD_HEIGHT = 24
/** Milliseconds of lag from which on a task is drawn as behind: more than a commit takes under load. */
const BEHIND_MS = 1_000

interface Placed {
  readonly task: Task
  readonly column: number
  readonly x: number
  readonly y: number
}

export function TaskGraph({ status }: { readonly status: StatusAnswer }): ComponentChild {
  const stages = [...Map.groupBy(status.tasks, ({ stage }) => stage)]
  const columns = columnsOf(stages)
  const placed = columns.flatMap(({ tasks }, column) => tasks.map((task, row) => placeOf(task, column, row)))
  const rows = Math.max(0, ...columns.map(({ tasks }) => tasks.length))
  const width = columns.length * (BOX.width + BOX.between) - BOX.between + 2
  const height = HEAD_HEIGHT + rows * (BOX.height + BOX.gap)
  return h('section', { class: 'card', 'aria-labelledby': 'graph-title' }, [
    h('h2', { id: 'graph-title' }, 'Graph'),
    h(
      'div',
      { class: 'graph-scroll', tabIndex: 0, role: 'group', 'aria-labelledby': 'graph-title' },
      h('svg', { viewBox: `0 0 ${Math.max(1, width)} ${height}`, role: 'img', 'aria-label': summaryOf(stages) }, [
        columns.map(({ title }, i) => h('text', { class: 'small', x: leftOf(i), y: 14 }, title)),
        placed.flatMap((from) =>
          placed.filter(({ column }) => column === from.column + 1).map((to) => h('path', { d: lineOf(from, to) })),
        ),
        placed.map((place) => boxOf(place, status.now_ms)),
      ]),
    ),
  ])
}

type Stage = readonly [name: string, tasks: readonly Task[]]

interface Column {
  readonly title: string
  readonly tasks: readonly Task[]
}

function columnsOf([source, ...others]: readonly Stage[]): Column[] {
  return [source === undefined ? [] : [source], others].flatMap((stages) =>
    stages.length === 0
      ? []
      : [
          {
            title: `stage${stages.length > 1 ? 's' : ''} ${stages.map(([name]) => name).join(', ')}`,
            tasks: stages.flatMap(([, tasks]) => tasks),
          },
        ],
  )
}

const leftOf = (column: number): number => 1 + column * (BOX.width + BOX.between)

function placeOf(task: Task, column: number, row: number): Placed {
  return { task, column, x: leftOf(column), y: HEAD_HEIGHT + row * (BOX.height + BOX.gap) }
}

/** The stream from one task to another. */
function lineOf(from: Placed, to: Placed): string {
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2]
  const middle = (x1 + x2) / 2
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`
}

function boxOf({ task, x, y }: Placed, nodeMs: number): ComponentChild {
  const { name, phase, pending, lag_ms, watermark } = task
  const look = phase !== 'running' ? 'wrong' : lag_ms >= BEHIND_MS ? 'behind' : ''
  const left = x + BOX.padding
  const age = watermark === null ? 'none yet' : `${durationText(Math.max(0, nodeMs - watermark))} old`
  return h('g', { key: name, class: look, 'data-box': name }, [
    h('rect', { x, y, width: BOX.width, height: BOX.height, rx: 8 }),
    h('text', { class: 'name', x: left, y: y + 20 }, phase === 'running' ? name : `${name}, ${phase}`),
    h('text', { class: 'small', x: left, y: y + 38 }, `${countText(pending)} behind, lag ${durationText(lag_ms)}`),
    h('text', { class: 'small', x: left, y: y + 55 }, `watermark ${age}`),
  ])
}

function summaryOf(stages: readonly Stage[]): string {
  const [source, ...others] = stages.map(([stage, tasks]) => `stage ${stage} with ${tasks.length} tasks`)
  return `Streams lead from ${source} to ${others.join(' and ')}. The table of tasks says the same in words.`
}
