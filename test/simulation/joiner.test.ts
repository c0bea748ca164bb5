// The joiner on the simulated log (joiner.ts): a few seeds of what `node test/simulation/joiner.ts --trials N` does with any number.

import { expect, it } from 'vitest'
import { joinerTrial } from './joiner.ts'

it.each([1, 2])('says what the oracle says, whatever the partitions, faults and kills: seed %i', async (seed) => {
  const { findings, kills, attributions, labels } = await joinerTrial(seed)
  expect(findings).toEqual([])
  expect(kills).toBeGreaterThan(0)
  expect(Math.min(attributions, labels)).toBeGreaterThan(500)
})
