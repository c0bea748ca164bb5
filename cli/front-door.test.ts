// What a node says of its tasks, from what the tasks say.

import { expect, it } from 'vitest'
import { pageViewGraph } from '../topology/graph.ts'
import { type TaskHost, tasksOf } from '../topology/host.ts'
import type { TaskStatus } from '../topology/task.ts'
import { rowsOf } from './front-door.ts'

it('how many records a task is behind is what all tasks of the stage before sent to it, less what it took', () => {
  const plan = pageViewGraph({
    ...{ namespace: 'shop', name: 'shop', clock: 'wall', partitions: 2, latenessMs: 600_000 },
    ...{ anonymous: 'reject', accepted: 'off' },
  })
  const said: Record<string, Partial<TaskStatus>> = {
    'user-1-0': { pending: 9, sent: { pages: [100, 20] } },
    'user-1-1': { sent: { pages: [30, 4] } },
    'pages-0': { taken: 125 },
    // Looked at a moment after its writers.
    'pages-1': { taken: 25 },
  }
  const status = tasksOf(plan).map(({ name }) => ({
    name,
    taken: 0,
    sent: {},
    waiting: null,
    tally: { counts: {} },
    ...said[name],
  }))
  const rows = rowsOf(plan, { status: () => status } as unknown as TaskHost)
  expect(rows.map(({ name, pending, lag_records }) => [name, pending, lag_records])).toEqual([
    ['user-1-0', 9, null],
    ['user-1-1', undefined, null],
    ['pages-0', undefined, 5],
    ['pages-1', undefined, 0],
  ])
})
