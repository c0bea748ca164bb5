import { expect, it } from 'vitest'
import { taskRow } from '../../test/browser/page-node.ts'
import type { ListedFeature } from '../feature-reads.ts'
import type { StatusRow } from '../status.ts'
import { featureMetrics } from './feature-metrics.ts'
import { HttpMetrics } from './metrics.ts'

const feature = (name: string, stage: string): ListedFeature => ({
  ...{ feature: name, entity: 'user', type: 'float', windowMs: null, mode: null, paneMs: null, completeFrom: 0 },
  ...{ stage, description: name, owner: 'team', how: 'count', bytesMax: 8, top: true },
})

it('a feature is as fresh as the newest event of its stage, and as complete as the slowest task of it', async () => {
  const metrics = new HttpMetrics()
  let rows: StatusRow[] = []
  featureMetrics(metrics, [feature('clicks', 'user-1'), feature('views', 'pages')], () => rows)
  const lines = async (): Promise<string[]> =>
    (await metrics.text())
      .split('\n')
      .filter((line) => line.startsWith('holdfast_feature_'))
      .sort()
  rows = [
    taskRow('user-1', 0, { watermark: 7_000, last_event: 9_000 }),
    taskRow('user-1', 1, { watermark: 5_000, last_event: 8_000 }),
    taskRow('pages', 0, { watermark: 1_000, last_event: 2_000 }),
    taskRow('pages', 1),
  ]
  expect(await lines()).toEqual([
    'holdfast_feature_complete_through_seconds{entity="user",feature="clicks"} 5',
    'holdfast_feature_last_event_seconds{entity="user",feature="clicks"} 9',
    'holdfast_feature_last_event_seconds{entity="user",feature="views"} 2',
  ])
})
