// What each task is doing. On a narrow screen a row becomes a card; the roles keep it a table for those who hear it.

import { type ComponentChild, h } from 'preact'
import type { StatusAnswer } from '../../client/holdfast.ts'
import type { Task } from './rates.ts'
import { tableHead } from './table-head.ts'
import { countText, durationText, rateText, timeText } from './text.ts'

interface TaskTableProps {
  readonly status: StatusAnswer
  /** Records a second, by name; null: not known. */
  readonly rates: ReadonlyMap<string, number> | null
}

const COLUMNS = ['Task', 'Phase', 'Records/s', 'Behind', 'Lag', 'P99', 'Watermark', 'Waiting for']

export function TaskTable({ status, rates }: TaskTableProps): ComponentChild {
  const { tasks, now_ms } = status
  return h('section', { class: 'card', 'aria-labelledby': 'tasks-title' }, [
    h('h2', { id: 'tasks-title' }, 'Tasks'),
    h('table', { role: 'table', class: 'tasks' }, [
      tableHead(COLUMNS),
      h(
        'tbody',
        null,
        tasks.map((task) =>
          h('tr', { key: task.name, role: 'row', 'data-task': task.name }, [
            h('th', { role: 'rowheader', scope: 'row' }, task.name),
            cellsOf(task, rates?.get(task.name) ?? null, now_ms).map((content, i) =>
              h('td', { role: 'cell', 'data-label': COLUMNS[i + 1] }, content),
            ),
          ]),
        ),
      ),
    ]),
  ])
}

function cellsOf(task: Task, rate: number | null, nodeMs: number): ComponentChild[] {
  const { phase, lag_ms, readable_ms, watermark } = task
  return [
    h('span', { class: `phase ${phase}` }, phase),
    rate === null ? '–' : rateText(rate),
    behindText(task),
    lag_ms === 0 ? 'none' : durationText(lag_ms),
    readable_ms === null ? '–' : `${countText(readable_ms.p99)} ms`,
    watermarkText(watermark, nodeMs),
    waitingText(task, nodeMs),
  ]
}

/** In records where who sent them has counted them, else in messages. */
function behindText({ pending, lag_records }: Task): string {
  const [count, unit] = lag_records === null ? [pending, 'message'] : [lag_records, 'record']
  return count === 0 ? 'nothing' : `${countText(count)} ${unit}${count === 1 ? '' : 's'}`
}

/** By the clock of the node: that of a browser may be another one. */
function watermarkText(watermark: number | null, nodeMs: number): ComponentChild {
  if (watermark === null) return 'none yet'
  const ageMs = nodeMs - watermark
  const text = ageMs < 0 ? `${durationText(-ageMs)} ahead` : `${durationText(ageMs)} old`
  return h('time', { datetime: new Date(watermark).toISOString(), title: timeText(watermark, nodeMs) }, text)
}

function waitingText({ waiting }: Task, nodeMs: number): string {
  if (waiting === null) return '–'
  const { cause, on, detail, since_ms } = waiting
  return `${cause}, ${on}: ${detail}, for ${durationText(Math.max(0, nodeMs - since_ms))}`
}
