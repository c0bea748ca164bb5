// Features that change while a topology runs, on a real server and real states: a run is stopped, goes on with other declarations,
// and is killed around the change; a node says what of a feature it has not seen.
// Compared are runs that never changed: what was kept all the time has its bytes, and what is new equals a run that had it from the
// start, from the moment that it says it is complete.

import { cpSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Declarations, FeatureDeclaration } from '../../topology/features/declaration.ts'
import { type Ended, HEAVY, holdfast, leftoversOf, resultsIn, workDirectory } from './command.ts'

const DESCRIBED = { description: 'tested', owner: 'test', purpose: 'measurement', sensitivity: 'personal' } as const
const KEPT = { ...DESCRIBED, retentionDays: 28 } as const
const text = (field: string) => ({ field, as: 'text' }) as const
const VIEWS: FeatureDeclaration = {
  ...{ ...KEPT, name: 'views', entity: 'user', events: { types: ['page_view'] }, aggregate: { fn: 'count' } },
  windows: ['1h', '24h'],
}
const LAST_PAGE: FeatureDeclaration = {
  ...{ ...KEPT, name: 'last_page', entity: 'user', events: { types: ['page_view'] }, within: '7d' },
  aggregate: { fn: 'last', of: text('page_id') },
}
const READ: FeatureDeclaration = {
  ...{ ...KEPT, name: 'read', entity: 'page', events: { types: ['page_view'] }, aggregate: { fn: 'count' } },
  windows: ['24h'],
}
const CLICKS: FeatureDeclaration = {
  ...{ ...KEPT, name: 'clicks', entity: 'user', events: { types: ['click'] }, aggregate: { fn: 'count' } },
  windows: ['24h'],
}
/** New is: narrower panes of what is kept, another window of it, what nobody kept, and what is derived of old and new. */
const NEW: readonly FeatureDeclaration[] = [
  { ...VIEWS, windows: ['5m', '1h', '24h', '2d'] },
  {
    ...{ ...KEPT, name: 'channels', entity: 'user', events: { types: ['click'] }, windows: ['24h'] },
    aggregate: { fn: 'top', of: text('channel'), length: 3 },
  },
  { ...KEPT, name: 'share', entity: 'user', ratio: { of: 'user.views_1h', per: 'user.views_2d' } },
  {
    ...{ ...KEPT, name: 'last_click', entity: 'user', events: { types: ['click'] }, within: '24h' },
    aggregate: { fn: 'last', of: text('channel') },
  },
  // Of a field that did not travel to the stage of pages.
  {
    ...{ ...KEPT, name: 'readers', entity: 'page', events: { types: ['page_view'] }, windows: ['24h'] },
    aggregate: { fn: 'distinct', of: text('user_id') },
  },
  // A stage that there was not.
  {
    ...{ ...KEPT, name: 'clicks', entity: 'ad', events: { types: ['click'] }, aggregate: { fn: 'count' } },
    windows: ['24h'],
  },
]

const declared = (...features: FeatureDeclaration[]): Declarations => ({
  entities: [
    { name: 'user', key: ['user_id'], partition: 'user_id' },
    { name: 'page', key: ['page_id'], partition: 'page_id' },
    { name: 'ad', key: ['advertiser_id', 'ad_id'], partition: 'advertiser_id' },
  ],
  features,
  policy: {
    types: { page_view: 'measurement', click: 'measurement' },
    fields: { user_id: { purpose: 'measurement', sensitivity: 'personal' } },
  },
})
/** `clicks` goes, `last_page` and `read` stay, `views` gets windows. */
const BEFORE = declared(VIEWS, LAST_PAGE, READ, CLICKS)
const AFTER = declared(LAST_PAGE, READ, ...NEW)

let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string) => join(work.path, name)

beforeAll(async () => {
  work = await workDirectory()
  await writeFile(at('before.json'), JSON.stringify(BEFORE))
  await writeFile(at('after.json'), JSON.stringify(AFTER))
})
afterAll(async () => {
  expect(await leftoversOf(work.path)).toEqual([])
  await work[Symbol.asyncDispose]()
})

function run(name: string, features: string, env: Record<string, string> = {}, out = name): Promise<Ended> {
  const args = ['--input', at('input.ndjson'), '--out', at(`${out}-out`), '--data-dir', at(name), '--drain']
  const sizes = ['--partitions', '2', '--commit-records', '100', '--no-scoring']
  return holdfast(['run', ...args, ...sizes, '--features', at(features)], { env })
}

interface Line {
  readonly entity: string
  readonly feature: string
  readonly complete_from?: number | null
}
const textIn = (name: string): string[] =>
  readFileSync(at(`${name}-out/features.ndjson`), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
const nameOf = (line: string): string => {
  const { entity, feature } = JSON.parse(line) as Line
  return `${entity}.${feature}`
}
const isPartial = (line: string): boolean => 'complete_from' in JSON.parse(line)

describe('a run that goes on with other features', () => {
  beforeAll(async () => {
    const made = await holdfast([
      ...['generate', '--out', at('input.ndjson'), '--events', '2500', '--users', '60', '--pages', '30', '--days', '5'],
    ])
    expect(made.code).toBe(0)
    const [whole, old, early, late] = await Promise.all([
      run('whole', 'after.json'),
      run('old', 'before.json'),
      run('early', 'before.json', { HOLDFAST_KILL: 'K11:3+60000000' }),
      run('late', 'before.json', { HOLDFAST_KILL: 'K11:110+60000000' }),
    ])
    // 130: told to stop, and all that was computed is committed.
    const codes = [whole, old, early, late].map(({ code, stderr }) => (code === 2 ? stderr : code))
    expect(codes).toEqual([0, 0, 130, 130])
  })

  it('equals a run that always had them, where everything is complete at its end', async () => {
    const { code, stderr } = await run('early', 'after.json')
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(resultsIn(at('early-out'))).toEqual(resultsIn(at('whole-out')))
    expect(textIn('whole').length).toBeGreaterThan(300)
  })

  it('says which values are not complete; all others have the bytes of runs without a change, however it is killed', async () => {
    const kills = ['none', 'K2:1', 'K5:2', 'K6:1', ...(HEAVY ? ['K5:1', 'K6:2', 'K7:1', 'K0:1', 'K5:4', 'K2:7'] : [])]
    for (const kill of kills) cpSync(at('late'), at(`late-${kill}`), { recursive: true })
    const results = await Promise.all(
      kills.map(async (kill) => {
        if (kill !== 'none') {
          const { code } = await run(`late-${kill}`, 'after.json', { HOLDFAST_KILL: kill })
          expect([kill, code]).toEqual([kill, null])
        }
        const { code, stderr } = await run(`late-${kill}`, 'after.json')
        expect([kill, code, code === 0 ? '' : stderr]).toEqual([kill, 0, ''])
        return textIn(`late-${kill}`)
      }),
    )
    const [lines] = results
    for (const [i, kill] of kills.entries()) expect([kill, results[i]]).toEqual([kill, lines])

    const partial = new Set(lines!.filter(isPartial).map(nameOf))
    // Where each task stopped is a matter of timing: of what a task had drained nothing new has a line.
    const news = [
      'ad.clicks_24h',
      'page.readers_24h',
      'user.channels_24h',
      'user.last_click',
      'user.share',
      'user.views_2d',
    ]
    expect(news).toEqual(expect.arrayContaining([...partial]))
    expect(partial.size).toBeGreaterThan(0)
    const [whole, old] = [textIn('whole'), textIn('old')]
    const isOld = (line: string) => !news.includes(nameOf(line))
    expect(lines!.filter(isOld)).toEqual(whole.filter(isOld))
    expect(whole).toEqual(expect.arrayContaining(lines!.filter((line) => !isPartial(line))))
    const always = new Set(old.map(nameOf).filter((name) => name !== 'user.clicks_24h'))
    expect(lines!.filter((line) => always.has(nameOf(line)))).toEqual(old.filter((line) => always.has(nameOf(line))))
    expect(lines).not.toEqual(whole)
  })

  it('goes on where all of it was drained: a stage that there was not is drained too, and has seen nothing', async () => {
    cpSync(at('old'), at('drained'), { recursive: true })
    const { code, stderr } = await run('drained', 'after.json')
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    const kept = new Set(textIn('old').map(nameOf))
    kept.delete('user.clicks_24h')
    const whole = textIn('whole').filter((line) => kept.has(nameOf(line)))
    expect(textIn('drained').filter((line) => kept.has(nameOf(line)))).toEqual(whole)
    expect(textIn('drained').map(nameOf)).not.toContain('ad.clicks_24h')
  })

  it('refuses what would mean something else, by name, and page views alone', async () => {
    const changed = declared({ ...VIEWS, events: { types: ['click'] } }, LAST_PAGE, READ)
    await writeFile(at('changed.json'), JSON.stringify(changed))
    const before = readFileSync(at('late/run.json'))
    const { code, stderr } = await run('late', 'changed.json', {}, 'refused')
    expect([code, stderr]).toEqual([2, expect.stringContaining('refused  user.views_1h: types was ["page_view"]')])
    const compat = await holdfast(['features', 'compat', at('before.json'), at('changed.json')])
    expect(compat.stdout).toContain('refused  user.views_1h: types was ["page_view"]')
    const args = ['--input', at('input.ndjson'), '--out', at('refused-out'), '--data-dir', at('late'), '--drain']
    const alone = await holdfast(['run', ...args, '--partitions', '2', '--no-scoring'])
    expect([alone.code, alone.stderr]).toEqual([
      2,
      expect.stringContaining('refused  features: all was what is declared'),
    ])
    expect(readFileSync(at('late/run.json'))).toEqual(before)
  })
})
