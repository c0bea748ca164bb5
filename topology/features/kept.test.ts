// The bound of a scan for the largest values; that lists are true is in compile.test.ts, on random plans.

import { expect, it } from 'vitest'
import type { Event } from '../../operators/event.ts'
import { featureGroup } from '../../operators/feature-group.ts'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import { clicks, declared } from '../../test/features/declared.ts'
import { recordOf, runOperator } from '../../test/operator-harness.ts'
import type { StagePlan } from '../plan.ts'
import { compileFeatures } from './compile.ts'
import { keeping, keptListings, TOP_RECORDS_MAX } from './kept.ts'

it('a scan for the largest looks at TOP_RECORDS_MAX records, the newer generation first', async () => {
  const compiled = compileFeatures(declared([clicks()]))
  const [group] = compiled.groups
  const operator = featureGroup(group!.group)
  const click: Event = { type: 'click', id: 'e', time: 1_000, user: 'u', fields: { user_id: 'u' } } as unknown as Event
  const { keyed } = runOperator(operator, [recordOf(click, { time: 1_000 })], { sliceRecords: 1 })
  const [store] = operator.stores
  const [[, , record]] = keyed(store!.name).all() as [readonly [number, string, unknown]]
  const node = { operator: keeping(operator, compiled, group!), from: -1, stores: [store] }
  const [listing] = keptListings({ name: 'users', nodes: [node] } as unknown as StagePlan)
  const older = (first: number) => first === 0
  const snapshotOf = (newer: number, more: number): ReadSnapshot => {
    async function* scan(_: string, from: number) {
      for (let i = 0; i < (older(from) ? more : newer); i++) yield [from, `${older(from) ? 'old' : 'new'}${i}`, record]
    }
    return { lowestBucket: () => 0, scan } as unknown as ReadSnapshot
  }
  const topOf = (newer: number, more: number) => {
    const view = { snapshot: snapshotOf(newer, more), watermark: 1_000, asOf: 1_000, edition: null }
    return listing!.features[0]!.topAt!(view, 1_000, { k: 1, entriesMax: 10 * TOP_RECORDS_MAX })
  }
  const scanned = TOP_RECORDS_MAX
  expect(await topOf(1, TOP_RECORDS_MAX - 1)).toEqual({ top: [['new0', 1]], scanned, complete: true })
  expect(await topOf(1, TOP_RECORDS_MAX)).toEqual({ top: [['new0', 1]], scanned, complete: false })
})
