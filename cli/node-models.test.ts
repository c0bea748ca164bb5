// What a node says of its model: how old it is, when it is too old, and what it could not read.

import { expect, it } from 'vitest'
import { HoldfastError } from '../log/errors.ts'
import { LogUnavailable } from '../log/log.ts'
import { HttpMetrics } from '../sinks/http/metrics.ts'
import { modelMetrics } from '../sinks/http/model-metrics.ts'
import { NodeModels, staleAfterMs } from './node-models.ts'

const STALE_MS = staleAfterMs({ period: 60_000, activationDelay: 1_000 })

/** A keeper whose live version was published so many milliseconds ago; null: none is live. */
function nodeWith(ages: Record<'version' | 'ageMs', number> | null) {
  const said: string[] = []
  const world = {
    live: ages,
    fail: null as Error | null,
    refused: new Map<'parent', number>(),
    looks: 0,
    tell: () => {},
  }
  const keeper = {
    refused: world.refused,
    look: async () => {
      world.looks++
      if (world.fail !== null) throw world.fail
    },
    onNews: (callback: () => void) => {
      world.tell = callback
      return () => {
        world.tell = () => {}
      }
    },
    liveAt: (now: number) =>
      world.live === null ? null : { version: world.live.version, activation: 1, publishedMs: now - world.live.ageMs },
  }
  return { models: new NodeModels(keeper, STALE_MS, (line) => said.push(line)), said, world }
}

it('NM1: an alarm is given once of a version that has become too old, and again of the next', async () => {
  const { models, said, world } = nodeWith({ version: 3, ageMs: STALE_MS - 1_000 })
  await models.look()
  expect([said, models.status().stale]).toEqual([[], false])
  world.live = { version: 3, ageMs: STALE_MS + 1_000 }
  await models.look()
  await models.look()
  expect(said).toEqual([expect.stringMatching(/model version 3 is too old/)])
  world.live = { version: 4, ageMs: 0 }
  await models.look()
  world.live = { version: 4, ageMs: 2 * STALE_MS }
  await models.look()
  expect(said).toHaveLength(2)
})

it('a broker that is away is waited for; what cannot be read is said once, and nothing is thrown', async () => {
  const { models, said, world } = nodeWith(null)
  world.fail = new LogUnavailable('away')
  await models.look()
  expect(said).toEqual([])
  world.fail = new HoldfastError('FOREIGN_WRITE', 'a message of the registry is no activation')
  await models.look()
  await models.look()
  expect(said).toEqual([expect.stringMatching(/^FOREIGN_WRITE: .*; the model that is live stays$/)])
})

it('NL1: news are looked for at once, or after the look that is under way, which is one', async () => {
  const { models, world } = nodeWith(null)
  const end = models.follow()
  world.tell()
  expect(world.looks).toBe(1)
  world.tell()
  world.tell()
  await models.look()
  expect(world.looks).toBe(1)
  await new Promise(setImmediate)
  expect(world.looks).toBe(2)
  await models.look()
  expect(world.looks).toBe(3)
  end()
  world.tell()
  expect(world.looks).toBe(3)
})

it('metrics say the version, its age, whether it is too old, and what was refused', async () => {
  const { models, world } = nodeWith({ version: 5, ageMs: 2 * STALE_MS })
  const metrics = new HttpMetrics()
  modelMetrics(metrics, () => models.status())
  world.refused.set('parent', 2)
  await models.look()
  const text = await metrics.text()
  expect(text).toMatch(/^holdfast_model_live_version 5$/m)
  expect(text).toMatch(new RegExp(`^holdfast_model_live_age_seconds ${(2 * STALE_MS) / 1_000}`, 'm'))
  expect(text).toMatch(/^holdfast_model_stale 1$/m)
  expect(text).toMatch(/^holdfast_models_refused_total\{reason="parent"\} 2$/m)
  world.live = null
  const none = await metrics.text()
  expect(none).toMatch(/^holdfast_model_live_version 0$/m)
  expect(none).toMatch(/^holdfast_model_stale 0$/m)
})
