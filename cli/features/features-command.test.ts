// `holdfast features` in this process: what each command prints, as words and as JSON, and what it refuses.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { APPLICATION } from '../../topology/features/application.ts'
import type { Declarations } from '../../topology/features/declaration.ts'
import { openNodeDirectory } from '../data-directory.ts'
import { livePlanOf } from '../node-command.ts'
import { NODE_CONFIG_DEFAULT } from '../settings.ts'
import { featuresCommand } from './features-command.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-features-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function file(name: string, text: string): string {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

/** What the command printed, and the message with which it ended. */
async function features(...args: string[]): Promise<{ stdout: string; error: string | null }> {
  let stdout = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text
    return true
  })
  try {
    const program = new Command().exitOverride().configureOutput({ outputError: () => {} })
    featuresCommand(program.command('features'))
    await program.parseAsync(['features', ...args], { from: 'user' })
    return { stdout, error: null }
  } catch (error) {
    return { stdout, error: (error as Error).message }
  } finally {
    spy.mockRestore()
  }
}

describe('of the application', () => {
  it.each([
    [['list'], 'user.page_views_1h'],
    [['search', 'smoothed', 'campaign'], 'campaign.click_rate_7d'],
    [['show', 'user.clicks_7d'], 'count over click, in 1h, 24h, 7d, 28d, by user_id'],
    [['show', 'user.last_device'], 'where there is no value: "unknown"'],
    [['lineage', 'user.clicks_7d'], 'of it is derived  user.click_rate_7d'],
    [['duplicates'], 'no duplicates'],
    [['costs'], 'BYTES A KEY AT MOST'],
    [['costs', '--served', 'user.clicks_7d,ad.clicks_7d'], 'nobody reads, so not kept: user.page_views_1h'],
    [['explain'], 'user: one record by user_id'],
    [['explain', '--served', 'user.clicks_7d'], '1 feature in 1 record'],
    [['explain', '--served', 'user.clicks_7d'], 'reads click once, where they come in · of these user_id\n'],
    [['explain', '--served', 'ad.clicks_7d'], 'reads click once, over one hop · of these ad_id, advertiser_id\n'],
    [
      ['explain', '--served', 'user.clicks_7d'],
      'FEATURE         OWNER     BYTES A KEY AT MOST\nuser.clicks_7d  profiles',
    ],
  ])('%j', async (args, expected) => {
    const [words, json] = [await features(...args), await features(...args, '--json')]
    expect(words.error).toBeNull()
    expect(words.stdout).toContain(expected)
    expect(json.error).toBeNull()
    expect(() => JSON.parse(json.stdout)).not.toThrow()
  })

  it('an unknown feature is named with those that are like it', async () => {
    for (const args of [['show'], ['lineage'], ['costs', '--served'], ['explain', '--served']]) {
      const { stdout, error } = await features(...args, 'user.clicks_9d')
      expect(stdout).toBe('')
      expect(error).toContain('there is no feature "user.clicks_9d"; alike: user.clicks_1h, user.clicks_24h')
    }
    expect((await features('show', 'qq.zz')).error).toContain('there is no feature "qq.zz"; `features list` has all')
  })
})

describe('what `list --json` prints is what --file takes:', () => {
  const listed = features('list', '--json').then(({ stdout }) => file('old.json', stdout))

  it('the same, which is compatible with itself', async () => {
    const old = await listed
    expect((await features('list', '--json', '--file', old)).stdout).toBe(readFileSync(old, 'utf8'))
    expect((await features('check', old)).stdout).toMatch(/features of 8 entities: no faults\n$/)
    expect(await features('compat', old, old)).toEqual({ stdout: 'compatible\n', error: null })
  })

  it('a change of meaning is refused, with what it touches', async () => {
    const old = await listed
    const changed = readFileSync(old, 'utf8').replace('"page_view"', '"lead"')
    const { stdout, error } = await features('compat', old, file('new.json', changed))
    expect(stdout).toContain('refused  user.page_views_1h: types was ["page_view"], would be ["lead"]')
    expect(stdout).toMatch(/not compatible\n$/)
    expect(error).toContain('3 of')
  })

  it('what `run` and `node` refuse beside that, too: another partition, page views alone, a directory that has no more room', async () => {
    const old = await listed
    const text = readFileSync(old, 'utf8')
    const crossed = JSON.parse(text) as Declarations
    const entities = crossed.entities.map((one) => (one.name === 'user_ad' ? { ...one, partition: 'ad_id' } : one))
    const moved = await features('compat', old, file('moved.json', JSON.stringify({ ...crossed, entities })))
    expect(moved.stdout).toContain('refused  user_ad: partition was "user_id", would be "ad_id"')
    expect(moved.stdout).toContain('of it is derived user_ad.')
    const nowhere = file('nowhere.json', JSON.stringify({ ...crossed, entities, features: crossed.features }))
    const fresh = file('none.json', JSON.stringify({ ...crossed, features: [] }))
    expect((await features('compat', fresh, nowhere)).error).toContain(
      'entity user_ad: no stage is partitioned by ad_id',
    )
    expect((await features('compat', old, 'none')).stdout).toContain(
      'refused  features: all was what is declared, would be page views of the last hour',
    )
    expect((await features('compat', 'none', 'application')).stdout).toContain('not compatible')
    expect(await features('compat', 'none', 'none')).toEqual({ stdout: 'compatible\n', error: null })

    const shape = { namespace: 'n', partitions: 1, config: NODE_CONFIG_DEFAULT }
    const vectors = ['user.clicks_7d']
    await openNodeDirectory(join(dir, 'node'), { ...shape, features: APPLICATION, vectors }, livePlanOf)
    expect(await features('compat', join(dir, 'node'), 'application')).toEqual({ stdout: 'compatible\n', error: null })
    const less = {
      ...APPLICATION,
      features: APPLICATION.features.filter((one) => 'aggregate' in one && one.name !== 'clicks'),
    }
    const gone = file('gone.json', JSON.stringify(less))
    const { error } = await features('compat', join(dir, 'node'), gone)
    const refused = openNodeDirectory(join(dir, 'node'), { ...shape, features: less, vectors }, livePlanOf).catch(
      String,
    )
    expect(error).toContain('vector: user.clicks_7d: there is no such feature')
    expect(await refused).toContain(error)
  })

  it('a forbidden flow is refused with its path', async () => {
    const forbidden = readFileSync(await listed, 'utf8').replaceAll('"purpose": "measurement"', '"purpose": "sharing"')
    const { stdout, error } = await features('check', file('forbidden.json', forbidden))
    expect(stdout).toBe('')
    expect(error).toMatch(/feature user.spend_usd_7d: .* user.spend_usd_7d <- .*\(allowed: personalised_ads\)/)
  })

  it('what is declared twice is said', async () => {
    const twice = JSON.parse(readFileSync(await listed, 'utf8'))
    twice.features.push({ ...twice.features[0], name: 'views', windows: ['60m'] })
    const { stdout } = await features('check', file('twice.json', JSON.stringify(twice)))
    expect(stdout).toMatch(/declared more than once:\n[0-9a-f]{16} {2}user.page_views_1h = user.views_60m\n$/)
  })
})
