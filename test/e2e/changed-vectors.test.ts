// Features that change between two starts of a run that publishes vectors, on a real server and real states, killed around the
// change: each touch has one vector, under the former layout or the one of now.
// Compared are runs that never changed. Touches between the stages: topology/features/changed-vectors.test.ts.

import { cpSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { PublishedVector } from '../../operators/touch-vectors.ts'
import type { Declarations, FeatureDeclaration } from '../../topology/features/declaration.ts'
import { type Ended, HEAVY, holdfast, leftoversOf, workDirectory } from './command.ts'

const counted = (entity: string, type: 'click' | 'impression'): FeatureDeclaration => ({
  ...{ name: `${type}s`, entity, description: 'tested', owner: 'test', purpose: 'personalised_ads', retentionDays: 28 },
  ...{ sensitivity: 'personal', events: { types: [type] }, aggregate: { fn: 'count' }, windows: ['1h'] },
})
const declared = (...features: FeatureDeclaration[]): Declarations => ({
  entities: [
    { name: 'user', key: ['user_id'], partition: 'user_id' },
    { name: 'ad', key: ['advertiser_id', 'ad_id'], partition: 'advertiser_id' },
  ],
  features,
  policy: {
    types: { click: 'personalised_ads', impression: 'personalised_ads' },
    fields: { user_id: { purpose: 'personalised_ads', sensitivity: 'personal' } },
  },
})
const KEPT = [counted('user', 'impression'), counted('ad', 'impression')]
const BEFORE = declared(...KEPT, counted('user', 'click'))
/** What goes, what stays, what is new with the user and with the ad. */
const AFTER = declared(
  ...KEPT,
  { ...counted('user', 'impression'), name: 'shown', windows: ['6h'] },
  counted('ad', 'click'),
)

let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string) => join(work.path, name)

function run(name: string, features: string, env: Record<string, string> = {}, vectors = 'all'): Promise<Ended> {
  const args = ['--input', at('input.ndjson'), '--out', at(`${name}-out`), '--data-dir', at(name), '--drain']
  const sizes = ['--partitions', '2', '--commit-records', '50']
  return holdfast(['run', ...args, ...sizes, '--features', at(features), '--vectors', vectors], { env })
}

const START_MS = 1.75e12
const TOUCHES = 1_200

/** Two thirds impressions, the rest clicks, of eight users and five ads, over a day. */
function touches(): string[] {
  return Array.from({ length: TOUCHES }, (_, i) => {
    const touch = { advertiser_id: `s${i % 2}`, campaign_id: 'c', ad_id: `a${(i * 7) % 5}`, user_id: `u${(i * 5) % 8}` }
    const type = i % 3 === 2 ? { type: 'click', click_id: `k${i}` } : { type: 'impression' }
    return JSON.stringify({ ...type, event_id: `e${i}`, event_time: START_MS + i * 60_000, ...touch })
  })
}

const textOf = (name: string): string => readFileSync(at(`${name}-out/vectors.ndjson`), 'utf8')
const vectorsOf = (name: string): PublishedVector[] =>
  textOf(name)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

beforeAll(async () => {
  work = await workDirectory()
  await writeFile(at('before.json'), JSON.stringify(BEFORE))
  await writeFile(at('after.json'), JSON.stringify(AFTER))
  await writeFile(at('input.ndjson'), touches().join('\n'))
  const [whole, old, changed] = await Promise.all([
    run('whole', 'after.json'),
    run('old', 'before.json'),
    run('changed', 'before.json', { HOLDFAST_KILL: 'K11:24+60000000' }),
  ])
  // 130: told to stop, and all that was computed is committed.
  expect([whole, old, changed].map(({ code, stderr }) => (code === 2 ? stderr : code))).toEqual([0, 0, 130])
})
afterAll(async () => {
  expect(await leftoversOf(work.path)).toEqual([])
  await work[Symbol.asyncDispose]()
})

it('each touch has one vector, of the layout of its time, with the values of a run that never changed', async () => {
  const kills = ['none', 'K5:2', ...(HEAVY ? ['K2:1', 'K6:1', 'K6:2', 'K7:1', 'K0:1'] : [])]
  for (const kill of kills) cpSync(at('changed'), at(`changed-${kill}`), { recursive: true })
  await Promise.all(
    kills.map(async (kill) => {
      if (kill !== 'none') expect((await run(`changed-${kill}`, 'after.json', { HOLDFAST_KILL: kill })).code).toBe(null)
      const { code, stderr } = await run(`changed-${kill}`, 'after.json')
      expect([kill, code, code === 0 ? '' : stderr]).toEqual([kill, 0, ''])
    }),
  )
  for (const kill of kills) expect([kill, textOf(`changed-${kill}`) === textOf('changed-none')]).toEqual([kill, true])

  const [whole, old, found] = [vectorsOf('whole'), vectorsOf('old'), vectorsOf('changed-none')]
  expect(found.map(({ event_id }) => event_id)).toEqual(whole.map(({ event_id }) => event_id))
  const seen = { old: 0, now: 0 }
  found.forEach((vector, i) => {
    if (vector.schema === old[i]!.schema) {
      seen.old++
      expect(vector).toEqual(old[i])
      return
    }
    seen.now++
    expect({ ...vector, values: null }).toEqual({ ...whole[i], values: null })
    for (const [id, value] of Object.entries(vector.values)) {
      if (id.includes('impressions')) expect([id, value]).toEqual([id, whole[i]!.values[id]])
      // Of what is new: what was seen, which is never said to be nothing before it is complete.
      else if (value === 0) expect([id, whole[i]!.values[id]]).toEqual([id, 0])
      else if (value !== null) expect(value).toBeLessThanOrEqual(whole[i]!.values[id] as number)
    }
  })
  expect([seen.old + seen.now, seen.now > 0]).toEqual([TOUCHES, true])
})

it('vectors may have other features of those that are kept; but none, or what is not kept, is refused', async () => {
  cpSync(at('changed'), at('fewer'), { recursive: true })
  const fewer = await run('fewer', 'before.json', {}, 'user.impressions_1h')
  expect([fewer.code, fewer.code === 0 ? '' : fewer.stderr]).toEqual([0, ''])
  const last = (name: string) => vectorsOf(name).find(({ event_id }) => event_id === `e${TOUCHES - 1}`)!.values
  expect(last('fewer')).toEqual({ 'user.impressions_1h': last('old')['user.impressions_1h'] })
  const file = readFileSync(at('fewer/run.json'))
  const gone = await run('fewer', 'after.json', {}, 'user.clicks_1h')
  expect([gone.code, gone.stderr]).toEqual([
    2,
    expect.stringContaining('vector: user.clicks_1h: there is no such feature'),
  ])
  const args = ['--input', at('input.ndjson'), '--out', at('none-out'), '--data-dir', at('fewer'), '--drain']
  const none = await holdfast(['run', ...args, '--partitions', '2', '--features', at('before.json')])
  expect([none.code, none.stderr]).toEqual([
    2,
    expect.stringContaining('refused  vectors: all was taken, would be not taken'),
  ])
  expect(readFileSync(at('fewer/run.json'))).toEqual(file)
})
