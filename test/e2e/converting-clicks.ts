// Clicks, one an hour, of which every fifth converts at once, with their label rows: as files, for `holdfast train`.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const START_MS = 1_750_000_000_000
const HOUR_MS = 3_600_000

/** Writes O and M rows and the clicks; gives the paths. */
export function convertingClicks(dir: string, count: number): { labels: string; touches: string } {
  const touches = Array.from({ length: count }, (_, i) => ({
    ...{ type: 'click', event_id: `t${i}`, event_time: START_MS + i * HOUR_MS, user_id: 'u', click_id: `k${i}` },
    ...{ advertiser_id: `adv${i % 2}`, campaign_id: 'c', ad_id: `ad${i % 5}` },
  }))
  const labels = touches.flatMap(({ event_id, event_time }, i) =>
    ['O', 'M'].map((kind) => ({
      ...{ row_id: `${i}${kind}`, touch_id: event_id, user_id: 'u', touch_time: event_time, window: '7d_click', kind },
      ...{ y: i % 5 === 0 ? 1 : 0, count: i % 5 === 0 ? 1 : 0, value: 0, complete: true },
    })),
  )
  const file = (name: string, lines: readonly object[]) => {
    writeFileSync(join(dir, name), lines.map((line) => JSON.stringify(line)).join('\n'))
    return join(dir, name)
  }
  file('attributions.ndjson', [])
  return { labels: file('labels.ndjson', labels), touches: file('touches.ndjson', touches) }
}
