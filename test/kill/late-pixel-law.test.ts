// The law of late pixels is broken by each row that is wrong.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { latePixelFaults } from './late-pixel-law.ts'

type Row = Readonly<Record<string, unknown>>

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-law-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const window = '28d_click'
const credited = (touch_id: string | null) => ({ touch_id, window })
const row = (touch_id: string, kind: string, count: number) => ({ touch_id, window, kind, y: count > 0 ? 1 : 0, count })

/** `a` is credited three times, twice after M; `b` never. */
const ATTRIBUTIONS = [credited('a'), credited('a'), credited('a')]
const LABELS = [row('a', 'O', 0), row('a', 'D', 1), row('a', 'M', 1), row('a', 'C', 2), row('a', 'C', 3)]
const OTHERS = [row('b', 'O', 0), row('b', 'M', 0)]
const EVEN = { lane: window, credited: 1, mature: 1, observed: 1 }

async function faults(attributions: readonly Row[], labels: readonly Row[], conservation: Row = EVEN) {
  const text = (rows: readonly Row[]) => rows.map((each) => `${JSON.stringify(each)}\n`).join('')
  await writeFile(join(dir, 'attributions.ndjson'), text(attributions))
  await writeFile(join(dir, 'labels.ndjson'), text([...labels, ...OTHERS]))
  await writeFile(join(dir, 'summary.json'), JSON.stringify({ conservation: [conservation] }))
  return (await latePixelFaults(dir)).map((fault) => fault.slice(0, fault.indexOf(':')))
}

test('what is right has none', async () => expect(await faults(ATTRIBUTIONS, LABELS)).toEqual([]))

test.each<[string, readonly Row[], readonly Row[], Row?]>([
  ['C rows', ATTRIBUTIONS, LABELS.slice(0, -1)],
  ['C rows', ATTRIBUTIONS, [...LABELS, row('a', 'C', 4)]],
  ['C rows', ATTRIBUTIONS, [...LABELS, row('b', 'C', 1)]],
  ['C rows', ATTRIBUTIONS, LABELS.map((each) => (each.kind === 'C' ? { ...each, count: 2 } : each))],
  ['C rows', [...ATTRIBUTIONS, credited('a')], LABELS],
  ['a second M', ATTRIBUTIONS, [...LABELS, row('a', 'M', 1)]],
  ['O and D', ATTRIBUTIONS, LABELS.filter(({ kind }) => kind !== 'D')],
  ['O and D', ATTRIBUTIONS, [...LABELS, row('b', 'D', 1)]],
  ['conversions that nobody is credited with', [...ATTRIBUTIONS, credited(null)], LABELS],
  ['no M was corrected', ATTRIBUTIONS.slice(2), LABELS.slice(0, 3)],
  ['conservation', ATTRIBUTIONS, LABELS, { ...EVEN, mature: 2 }],
  ['conservation', ATTRIBUTIONS, LABELS, { ...EVEN, observed: 0 }],
])('%s', async (what, ...wrong) => expect(await faults(...wrong)).toEqual([what]))
