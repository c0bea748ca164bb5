// The status of tasks over HTTP: rows go out as they were handed in.

import { expect, it } from 'vitest'
import type { StatusRow } from '../status.ts'
import { newToken, Tokens } from './auth.ts'
import { HttpMetrics } from './metrics.ts'
import { openHttpServer } from './server.ts'
import { statusRoutes } from './status-routes.ts'

const ROWS: readonly StatusRow[] = [
  {
    ...{ name: 'user-1-0', stage: 'user-1', partition: 0, phase: 'running', epoch: 7, seq: 12, pending: 3 },
    ...{
      watermark: 1_767_225_600_000,
      last_event: 1_767_225_660_000,
      config: '1a2b',
      counts: { records: 90, accepted: 88, late: 0 },
    },
    sends_to: [{ stage: 'pages', same_partition: false }],
    ...{ lag_records: null, lag_ms: 75_000, readable_ms: { p50: 4, p99: 12, max: 40, count: 900 } },
    waiting: { cause: 'room', on: 'holdfast_pages_0', detail: 'maximum bytes exceeded', since_ms: 1_234.5 },
  },
  {
    ...{ name: 'pages-0', stage: 'pages', partition: 0, phase: 'opening', epoch: 0, seq: 0, pending: 0 },
    ...{
      sends_to: [],
      lag_records: 17,
      lag_ms: 0,
      readable_ms: null,
      watermark: null,
      last_event: null,
      config: '1a2b',
      counts: {},
      waiting: null,
    },
  },
]

it('every row with all that it says, and the clock that its times are of', async () => {
  const { token, line } = newToken(['metrics'], 'doors')
  const server = await openHttpServer({
    ...{ port: 0, namespace: 'doors', tokens: Tokens.parse(line), metrics: new HttpMetrics(), version: 'test' },
    routes: [
      (app) => statusRoutes(app, { status: () => ROWS, attribution: () => null, model: () => null, evaluated: null }),
    ],
  })
  const now = (): number => performance.timeOrigin + performance.now()
  const before = now()
  const response = await fetch(`${server.url}/v1/status`, { headers: { authorization: `Bearer ${token}` } })
  const { now_ms, tasks } = (await response.json()) as { now_ms: number; tasks: unknown }
  expect(tasks).toEqual(ROWS)
  expect(now_ms).toBeGreaterThanOrEqual(before)
  expect(now_ms).toBeLessThanOrEqual(now())
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect((await fetch(`${server.url}/v1/status`)).status).toBe(401)
  await server.close()
})
