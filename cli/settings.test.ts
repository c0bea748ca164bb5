// Attribution in the configuration files of `run` and `node`: what is read, what it is known by, what is refused and how.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import { configHash, configurationOf } from '../topology/configuration.ts'
import { SCORING_DEFAULT } from '../topology/models/scoring-settings.ts'
import {
  attributionOf,
  CONFIG_DEFAULT,
  NODE_CONFIG_DEFAULT,
  readConfig,
  readNodeConfig,
  readRunConfig,
  timeZoneOf,
} from './settings.ts'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-settings-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

let files = 0
async function fileOf(config: object): Promise<string> {
  const path = join(directory, `${files++}.json`)
  await writeFile(path, JSON.stringify(config))
  return path
}
const bothOf = async (config: object) => {
  const path = await fileOf(config)
  return [readConfig(path), readNodeConfig(path)] as const
}

it('is the contract’s where nothing is said, and is left out where it is off', async () => {
  for (const config of [...(await bothOf({})), CONFIG_DEFAULT, NODE_CONFIG_DEFAULT])
    expect(attributionOf(config)).toEqual(ATTRIBUTION_DEFAULT)
  for (const config of await bothOf({ attribution: 'off' })) expect(attributionOf(config)).toBe('off')
  // The directory of a node from before.
  const { attribution: _, ...before } = CONFIG_DEFAULT
  expect(attributionOf(before)).toBe('off')
})

it('is known by what it means, however it is written', async () => {
  const hashOf = async (attribution: unknown) => (await bothOf({ attribution })).map(configHash)
  const day = await hashOf({ windows: [{ name: 'w', click: '1d' }] })
  expect(await hashOf({ windows: [{ click: 86_400_000, name: 'w' }], models: ['last_touch'], grace: '5m' })).toEqual(
    day,
  )
  expect(await hashOf({ windows: [{ name: 'w', click: '25h' }] })).not.toEqual(day)
  expect(await hashOf('off')).not.toEqual(await hashOf({}))
  expect((await bothOf({})).map(configHash)).toEqual([CONFIG_DEFAULT, NODE_CONFIG_DEFAULT].map(configHash))
})

it('tells tasks the goals, which may change, and nothing that may not', async () => {
  const goals = [{ name: 'leads', types: ['lead'] }]
  for (const config of await bothOf({ attribution: { goals } })) {
    const { hash, ...told } = configurationOf(config)
    expect(told).toEqual({ anonymous: 'reject', bots: 'count', latenessMs: 600_000, goals })
  }
  for (const attribution of ['off', {}])
    expect(configurationOf((await bothOf({ attribution }))[1])).not.toHaveProperty('goals')
})

it('is refused with the file, the path of the field, and what would be right', async () => {
  const path = await fileOf({ attribution: { windows: [{ name: 'w', click: '0d' }] } })
  const complaint = `${path}: attribution.windows[0].click must be a length of time`
  expect(() => readConfig(path)).toThrow(complaint)
  expect(() => readNodeConfig(path)).toThrow(complaint)
  expect(() => readConfig(path)).toThrow(expect.objectContaining({ code: 'USAGE' }))
})

it('has the time zones of advertisers, by names that there are', async () => {
  for (const config of await bothOf({ advertisers: { shop: { timeZone: 'Asia/Kathmandu' } } }))
    expect(['shop', 'bank', 'constructor'].map((id) => timeZoneOf(config, id))).toEqual([
      'Asia/Kathmandu',
      'UTC',
      'UTC',
    ])
  // The directory of a node from before.
  expect(timeZoneOf({}, 'shop')).toBe('UTC')
  for (const [advertisers, complaint] of [
    [{ shop: { timeZone: 'Mars/Olympus' } }, /advertisers\.shop\.timeZone must be a name of the IANA database/],
    [{ shop: { timeZone: '+01:00' } }, /advertisers\.shop\.timeZone must be a name/],
    [{ shop: { zone: 'UTC' } }, /"advertisers" must be an object like/],
    [{ shop: 'UTC' }, /"advertisers" must be an object like/],
  ] as const) {
    const path = await fileOf({ advertisers })
    expect(() => readConfig(path)).toThrow(complaint)
    expect(() => readNodeConfig(path)).toThrow(complaint)
  }
})

it('of scoring is whole where something is said of it, and not there where nothing is', async () => {
  for (const config of await bothOf({})) expect(config).not.toHaveProperty('scoring')
  for (const config of await bothOf({ scoring: 'off' })) expect(config.scoring).toBe('off')
  for (const config of await bothOf({ scoring: { period: '6h' } }))
    expect(config.scoring).toEqual({ ...SCORING_DEFAULT, period: 6 * 3_600_000 })
})

it.each([
  [{ scoring: 'on' }, /scoring must be "off" or an object with goal, prior/],
  [{ scoring: [] }, /scoring must be "off" or an object/],
  [{ scoring: { when: 1 } }, /scoring must have no field "when"; there are goal, prior/],
  [{ scoring: { prior: 0 } }, /scoring.prior must be a number above 0 and below 1/],
  [{ scoring: { prior: '0.1' } }, /scoring.prior must be a number/],
  [{ scoring: { goal: 7 } }, /scoring.goal must be the name of a declared goal/],
  [{ scoring: { period: '1s' } }, /scoring.period must be a length of time like "1d", "10m" or 60000 to/],
  [{ scoring: { period: '32d' } }, /scoring.period must be a length of time/],
  [{ scoring: { activationDelay: 0 } }, /scoring.activationDelay must be a length of time.* or 1 to/],
  [{ scoring: { activationDelay: '25h' } }, /scoring.activationDelay must be a length of time/],
])('refuses %j', async (config, message) => {
  const path = await fileOf(config)
  for (const read of [readConfig, readNodeConfig]) expect(() => read(path)).toThrow(message)
})

it('lets a run train and score unless something says otherwise', async () => {
  expect(readRunConfig(undefined, {}).scoring).toEqual(SCORING_DEFAULT)
  expect(readRunConfig(undefined, { scoring: true }).scoring).toEqual(SCORING_DEFAULT)
  const own = await fileOf({ scoring: { period: '1h' } })
  expect(readRunConfig(own, { scoring: true }).scoring).toEqual({ ...SCORING_DEFAULT, period: 3_600_000 })
  // Nobody learns of it, or there is nothing to learn.
  for (const config of [{ scoring: 'off' }, { attribution: 'off' }])
    expect(readRunConfig(await fileOf(config), { scoring: true }).scoring ?? 'off').toBe('off')
  for (const given of [{ scoring: false }, { scoring: true, model: 'model.onnx' }])
    expect(readRunConfig(await fileOf({}), given)).toEqual(CONFIG_DEFAULT)
  expect(() => readRunConfig(own, { scoring: false })).toThrow(`--no-scoring, and "scoring" in ${own}: leave one out`)
  const off = await fileOf({ scoring: 'off' })
  expect(readRunConfig(off, { scoring: false }).scoring).toBe('off')
})
