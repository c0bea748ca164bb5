// A share of the broker soak (test/kill/broker.ts) in every test run.

import { expect, it } from 'vitest'
import { killBroker, restoreOlderCopies } from '../test/kill/broker.ts'

it('kill -9 under load: nothing lost, nothing twice, nothing out of order', async () => {
  const report = await killBroker({ kills: 3, seed: 1 })
  expect(report).toMatchObject({ killsUnderLoad: 3, lost: 0, duplicated: 0, outOfOrder: 0, readerErrors: 0 })
  expect(report.acknowledged).toBeGreaterThan(100)
})

it('an older copy of the store put back under a connected reader: it halts, every time', async () => {
  const report = await restoreOlderCopies({ restores: 2, seed: 1 })
  expect(report).toEqual({ restores: 2, halted: 2, handedOut: 0, refilled: 1 })
})
