// What tasks do, for a monitoring system: the rows of /v1/status as metrics.

import { Gauge } from 'prom-client'
import type { StatusRow } from '../status.ts'
import type { HttpMetrics } from './metrics.ts'

const MS_PER_SECOND = 1_000

/** Adds metrics of the tasks to `metrics`, taken anew whenever somebody asks. */
export function taskMetrics(metrics: HttpMetrics, status: () => readonly StatusRow[]): void {
  const registers = [metrics.registry]
  const gauge = (name: string, help: string, ...further: string[]) =>
    new Gauge({ name: `holdfast_task_${name}`, help, labelNames: ['task', ...further], registers })
  const pending = gauge('pending_messages', 'Messages in the stream of the task that it has not read.')
  const lagRecords = gauge('lag_records', 'Records that were published for the task and that it has not taken.')
  const lag = gauge('lag_seconds', 'How long the oldest message that is not readable yet has been in the stream.')
  const readable = gauge(
    'readable_seconds',
    'From the stream to being readable, over the last 30 to 60 seconds.',
    'quantile',
  )
  const commits = gauge('commits', 'Number of the last commit.')
  const watermark = gauge('watermark_seconds', 'Event time up to which nothing more is expected, seconds since 1970.')
  const running = gauge('running', '1 while the task runs.')
  const waiting = gauge('waiting_seconds', 'How long the task has been waiting, by what for.', 'cause', 'on')
  const counted = gauge('records', 'Counters of the task since its state began.', 'counter')
  metrics.onCollect(() => {
    for (const each of [pending, lagRecords, lag, readable, commits, watermark, running, waiting, counted]) each.reset()
    const now = performance.timeOrigin + performance.now()
    for (const { name: task, ...row } of status()) {
      pending.set({ task }, row.pending)
      if (row.lag_records !== null) lagRecords.set({ task }, row.lag_records)
      lag.set({ task }, row.lag_ms / MS_PER_SECOND)
      if (row.readable_ms !== null) {
        readable.set({ task, quantile: '0.5' }, row.readable_ms.p50 / MS_PER_SECOND)
        readable.set({ task, quantile: '0.99' }, row.readable_ms.p99 / MS_PER_SECOND)
      }
      commits.set({ task }, row.epoch)
      if (row.watermark !== null) watermark.set({ task }, row.watermark / MS_PER_SECOND)
      running.set({ task }, row.phase === 'running' ? 1 : 0)
      for (const [counter, count] of Object.entries(row.counts)) counted.set({ task, counter }, count)
      if (row.waiting === null) continue
      const { cause, on, since_ms } = row.waiting
      waiting.set({ task, cause, on }, (now - since_ms) / MS_PER_SECOND)
    }
  })
}
