import { expect, test } from 'vitest'
import { SETTINGS } from '../test/label-records.ts'
import { conservation } from './label-counts.ts'

test('the law counts who is missing: a credit whose M never comes shows', () => {
  const counts = { 'labels.credited.c': 2, 'labels.positives.c': 1, 'labels.D.c': 2 }
  const [lane] = conservation(counts, SETTINGS)
  expect(lane).toEqual({
    ...{ lane: 'c', credited: 2, mature: 1, observed: 2, awaitingMature: 0, awaitingObserved: 0, neverObserved: 0 },
    holds: false,
  })
  const waiting = { ...counts, 'labels.credited_before_M.c': 1 }
  expect(conservation(waiting, SETTINGS)[0]!.holds).toBe(true)
  for (const wrong of [{ 'labels.D.c': 1 }, { 'labels.credited_without_O.c': 1 }, { 'labels.credited_before_O.c': -1 }])
    expect(conservation({ ...waiting, ...wrong }, SETTINGS)[0]!.holds).toBe(false)
  expect(
    conservation({ ...counts, 'labels.positives.c': 3, 'labels.credited_before_M.c': -1 }, SETTINGS)[0]!.holds,
  ).toBe(false)
  expect(conservation({}, SETTINGS).map(({ lane: name }) => name)).toEqual(['c', 'v', 's', 'cv', 'c2'])
})
