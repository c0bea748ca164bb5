// The windows part: its traffic is as its page says, it holds and labels every touch of a small world, and rows that differ are seen.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { refuseOtherRows, windowCells } from './window-cells.ts'
import { windowText } from './window-report.ts'
import type { MatureRows } from './window-run.ts'
import { CLICK_SHARE, conversionsOf, linesOf, SPAN_MS } from './window-world.ts'

const WORLD = { touches: 2_000, spanMs: SPAN_MS }

it('conversions are of touches before them, in the order of time', () => {
  const events = [...linesOf(WORLD)].map((line) => JSON.parse(line))
  expect(events.length).toBe(WORLD.touches + conversionsOf(WORLD))
  const seen = new Set<string>()
  let [clicks, before] = [0, 0]
  for (const { type, event_time, user_id, advertiser_id, click_id } of events) {
    expect(event_time).toBeGreaterThanOrEqual(before)
    before = event_time
    const of = [user_id, advertiser_id, click_id].join()
    if (type === 'conversion') expect(seen).toContain(of)
    else seen.add(of)
    if (type === 'click') clicks++
  }
  expect(clicks / WORLD.touches).toBeCloseTo(CLICK_SHARE, 1)
})

it('other M rows of a window, or none, end the bench', () => {
  const rows = (digest: string): { mature: Record<string, MatureRows> } => ({
    mature: { '1d_click': { rows: 1, positives: 0, digest } },
  })
  const expected = new Map<string, MatureRows>()
  refuseOtherRows(expected, rows('a'), ['1d_click'])
  refuseOtherRows(expected, rows('a'), ['1d_click'])
  expect(() => refuseOtherRows(expected, rows('b'), ['1d_click'])).toThrow('other M rows of 1d_click')
  expect(() => refuseOtherRows(expected, rows('a'), ['1d_view'])).toThrow('no M row of 1d_view')
})

it('every touch has its rows, and the table says what they cost', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-windows-bench-'))
  try {
    const options = { signal: new AbortController().signal, say: () => {}, directory, touches: 200, samples: 1 }
    const cells = await windowCells({ ...options, windowsMax: 1 })
    expect(cells.map(({ windows }) => windows)).toEqual([['7d_click_1d_view']])
    const [{ samples }] = cells as [(typeof cells)[0]]
    const [{ mature, labelRecords, heldBytes }] = samples as [(typeof samples)[0]]
    expect(mature['7d_click_1d_view']!.rows).toBe(200)
    expect(labelRecords).toBeGreaterThanOrEqual(2 * 200)
    expect(heldBytes['user-2']).toBeGreaterThan(0)
    expect(windowText(cells)).toMatch(/^7d_click_1d_view +1 +[\d.]+ +1\.00 /m)
    expect(await readdir(directory)).toEqual([])
  } finally {
    await rm(directory, { recursive: true })
  }
})
