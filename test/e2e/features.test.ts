// `holdfast features` from outside: its help and its exit codes. What it prints is tested in cli/features/.

import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Ended, holdfast, PROJECT_DIR, workDirectory } from './command.ts'

const features = (...args: string[]): Promise<Ended> => holdfast(['features', ...args])
const SUBCOMMANDS = ['list', 'search', 'show', 'lineage', 'duplicates', 'costs', 'explain', 'check', 'compat']

it('its help names every command, and a command every option that it reads', async () => {
  const source = readFileSync(join(PROJECT_DIR, 'cli', 'features', 'features-command.ts'), 'utf8')
  const declared = [...source.matchAll(/ption\(\s*'(--[\w-]+)/g)].map(([, option]) => option!)
  const [costs, explain, none] = await Promise.all([
    features('costs', '--help'),
    features('explain', '--help'),
    features(),
  ])
  for (const command of SUBCOMMANDS) expect(none.stderr).toMatch(new RegExp(`^ {2}${command} `, 'm'))
  for (const option of declared) expect(costs.stdout + explain.stdout).toContain(option)
  expect([costs.code, explain.code, none.code]).toEqual([0, 0, 2])
})

it('draws a plan into a file, and says where it cannot', async () => {
  await using work = await workDirectory()
  const [there, nowhere] = [join(work.path, 'plan.svg'), join(work.path, 'none', 'plan.svg')]
  const [drawn, failed] = await Promise.all([
    features('explain', '--svg', there),
    features('explain', '--svg', nowhere),
  ])
  expect([drawn.code, failed.code]).toEqual([0, 2])
  expect(readFileSync(there, 'utf8')).toMatch(/^<svg .*user\.clicks_7d.*<\/svg>\n$/s)
  expect(failed.stderr).toContain(`holdfast: cannot write ${nowhere}`)
  const same = join(work.path, 'same.svg')
  const [plan, none, unwritable] = await Promise.all([
    holdfast(['explain', '--features', 'application', '--svg', same]),
    holdfast(['explain', '--svg', join(work.path, 'none.svg')]),
    holdfast(['explain', '--features', 'application', '--svg', nowhere]),
  ])
  expect([plan.code, none.code, unwritable.code]).toEqual([0, 2, 2])
  expect(readFileSync(same, 'utf8')).toBe(readFileSync(there, 'utf8'))
  expect(none.stderr).toMatch(/--svg draws declared features, and this plan has none/)
  expect(unwritable.stderr).toContain(`holdfast: cannot write ${nowhere}`)
})

it('ends with 0, with 1 where names change their meaning, with 2 where there is no meaning', async () => {
  await using work = await workDirectory()
  const [old, now] = [join(work.path, 'old.json'), join(work.path, 'new.json')]
  const listed = await features('list', '--json')
  await writeFile(old, listed.stdout)
  await writeFile(now, listed.stdout.replace('"prior": 0.01', '"prior": 0.02'))
  const [changed, unknown] = await Promise.all([features('compat', old, now), features('show', 'user.none')])
  expect([listed.code, changed.code, unknown.code]).toEqual([0, 1, 2])
  expect(changed.stdout).toContain('refused  user.click_rate_7d: derive was')
  expect(unknown.stderr).toContain('holdfast: there is no feature "user.none"')
})
