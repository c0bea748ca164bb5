// The graph as a picture: the tasks of each stage in a column, behind all stages that send to it, and a line for each stream between
// them. A stream that passes a column by runs below all boxes.
// TG1: it says nothing that the table of tasks does not say in words; who cannot see it is sent there.

import { type ComponentChild, h } from 'preact'
import type { StatusAnswer } from '../../client/holdfast.ts'
import type { Task } from './rates.ts'
import { countText, durationText } from './text.ts'

/** CSS pixels: it is drawn as large as it is, and scrolls where there is no room, so that its words stay readable. */
const BOX = { width: 190, height: 66, gap: 16, between: 52, padding: 12 }
/** Between two streams below the boxes. */
const LANE_HEIGHT = 14
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
  const bottom = HEAD_HEIGHT + rows * (BOX.height + BOX.gap)
  const streams = streamsOf(placed)
  const passing = [...new Set(streams.flatMap((stream) => passingBy(stream) ?? []))]
  const width = Math.max(1, columns.length * (BOX.width + BOX.between) - BOX.between + 2)
  const height = bottom + passing.length * LANE_HEIGHT
  const lane = (stream: Stream): number => bottom + passing.indexOf(passingBy(stream)!) * LANE_HEIGHT
  return h('section', { class: 'card', 'aria-labelledby': 'graph-title' }, [
    h('h2', { id: 'graph-title' }, 'Graph'),
    h(
      'div',
      { class: 'graph-scroll', tabIndex: 0, role: 'group', 'aria-labelledby': 'graph-title' },
      h('svg', { width, height, role: 'img', 'aria-label': summaryOf(stages) }, [
        columns.map(({ title }, i) => h('text', { class: 'small', x: leftOf(i), y: 14 }, title)),
        streams.map((stream) =>
          h('path', { d: passingBy(stream) === null ? lineOf(stream) : lineBelow(stream, lane(stream)) }),
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

/** Each stage stands in the column behind the last of those that send to it. */
function columnsOf(stages: readonly Stage[]): Column[] {
  const sendsTo = ([, tasks]: Stage, to: string): boolean =>
    tasks.some(({ sends_to }) => sends_to.some(({ stage }) => stage === to))
  const columnOf = ([name]: Stage): number =>
    Math.max(-1, ...stages.filter((from) => sendsTo(from, name)).map(columnOf)) + 1
  const columns = [...Map.groupBy(stages, columnOf)].sort(([a], [b]) => a - b)
  return columns.map(([, own]) => ({
    title: `stage${own.length > 1 ? 's' : ''} ${own.map(([name]) => name).join(', ')}`,
    tasks: own.flatMap(([, tasks]) => tasks),
  }))
}

/** From one task to another. */
interface Stream {
  readonly from: Placed
  readonly to: Placed
}

function streamsOf(placed: readonly Placed[]): Stream[] {
  return placed.flatMap((from) =>
    from.task.sends_to.flatMap(({ stage, same_partition }) =>
      placed
        .filter(({ task }) => task.stage === stage && (!same_partition || task.partition === from.task.partition))
        .map((to) => ({ from, to })),
    ),
  )
}

/** What the streams between two stages with columns between them share; null: there is none between. */
const passingBy = ({ from, to }: Stream): string | null =>
  to.column > from.column + 1 ? `${from.task.stage} ${to.task.stage}` : null

const leftOf = (column: number): number => 1 + column * (BOX.width + BOX.between)

function placeOf(task: Task, column: number, row: number): Placed {
  return { task, column, x: leftOf(column), y: HEAD_HEIGHT + row * (BOX.height + BOX.gap) }
}

const endsOf = ({ from, to }: Stream) => ({
  ...{ x1: from.x + BOX.width, y1: from.y + BOX.height / 2, x2: to.x, y2: to.y + BOX.height / 2 },
})

function lineOf(stream: Stream): string {
  const { x1, y1, x2, y2 } = endsOf(stream)
  const middle = (x1 + x2) / 2
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`
}

/** Down in the space behind the first column, along below all boxes, up in the space before the last. */
function lineBelow(stream: Stream, y: number): string {
  const { x1, y1, x2, y2 } = endsOf(stream)
  const [left, right] = [x1 + BOX.between / 2, x2 - BOX.between / 2]
  return `M${x1} ${y1}C${left} ${y1} ${left} ${y} ${x1 + BOX.between} ${y}H${x2 - BOX.between}C${right} ${y} ${right} ${y2} ${x2} ${y2}`
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
  const named = new Map(stages.map(([stage, tasks]) => [stage, `stage ${stage} with ${tasks.length} tasks`]))
  const lines = stages.flatMap(([stage, [task]]) => {
    const to = task!.sends_to.flatMap((sent) => named.get(sent.stage) ?? [])
    return to.length === 0 ? [] : [`from ${named.get(stage)} to ${to.join(' and ')}`]
  })
  return `Streams lead ${lines.join('; ')}. The table of tasks says the same in words.`
}
