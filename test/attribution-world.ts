// A world (test/read-world.ts) whose conversions are attributed, with a few events: for tests of what is said of attributions.

import { partitionOf } from '../log/frame.ts'
import { realRuntime } from '../log/runtime.ts'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import { DECISIONS_TOLD_MAX } from '../sinks/attribution-reads.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from '../topology/graph.ts'
import { ReadWorld, WORLD_GRAPH, WORLD_START_MS } from './read-world.ts'

const HOUR_MS = 3_600_000
const AD = { advertiser_id: 'shop', campaign_id: 'spring', ad_id: 'shoe' }
/** Of the conversion `bought` of ann. */
export const BOUGHT_MS = WORLD_START_MS + 30 * HOUR_MS
/** So late that everything before it is attributed. */
const LATER_MS = BOUGHT_MS + LATENESS_MS_DEFAULT + ATTRIBUTION_DEFAULT.graceMs + 1

const GRAPH: GraphOptions = {
  ...WORLD_GRAPH,
  ...{ anonymous: 'reject', bots: 'mark', accepted: 'off' },
  attribution: { ...ATTRIBUTION_DEFAULT, models: [{ name: 'last_touch' }, { name: 'linear' }] },
}
/** Conversions of the world, by their ids. */
const CONVERSIONS = { bought: 1, same: 2, back: 1, robot: 1, many: DECISIONS_TOLD_MAX }
/** Milliseconds in which a loaded machine attributes them. */
const ATTRIBUTED_MS = 30_000

/** Ann has seen, clicked and bought; ann and bob have a conversion of one id; other conversions are nobody's. All is applied. */
export async function attributionWorld(): Promise<ReadWorld> {
  const world = await ReadWorld.of(pageViewGraph(GRAPH))
  const click = (id: string, beforeMs: number, click_id: string) =>
    world.send({ type: 'click', event_id: id, user_id: 'ann', event_time: BOUGHT_MS - beforeMs, click_id, ...AD })
  const conversion = (id: string, user_id: string, more: Readonly<Record<string, unknown>> = {}) =>
    world.send({ type: 'conversion', event_id: id, user_id, event_time: BOUGHT_MS, advertiser_id: 'shop', ...more })
  await click('c-old', 26 * HOUR_MS, 'k1')
  await click('c-new', HOUR_MS, 'k2')
  await world.send({ type: 'impression', event_id: 'i1', user_id: 'ann', event_time: BOUGHT_MS - 60_000, ...AD })
  await conversion('bought', 'ann', { order_id: 'o1', click_id: 'k1', value: 12.5, currency: 'EUR' })
  await conversion('same', 'ann')
  await conversion('same', 'bob')
  await conversion('back', 'ann', { refund_of: 'o1' })
  await conversion('robot', 'ann', { props: { bot: true } })
  // More than are told, in one partition.
  const crowd = inPartition(0).slice(0, DECISIONS_TOLD_MAX + 1)
  for (const user of crowd) await conversion('many', user)
  // With one of each partition the watermark passes.
  for (const user of [inPartition(0)[0]!, inPartition(1)[0]!]) await world.view(user, 'home', LATER_MS)
  const until = performance.now() + ATTRIBUTED_MS
  while (!(await isAttributed(world))) {
    if (performance.now() > until) throw new Error('the world is not attributed in time')
    await realRuntime.sleep(10)
  }
  return world
}

/** What `wait` waits for is applied before the watermark passes: it is not enough. */
async function isAttributed({ reads }: ReadWorld): Promise<boolean> {
  const counts = Object.entries(CONVERSIONS).map(async ([conversion, count]) => {
    const outcome = await reads.attribution({ conversion, snapshot: null, wait: null, waitMs: 0 })
    return outcome.kind === 'attribution' && outcome.found.length === count
  })
  return !(await Promise.all(counts)).includes(false)
}

const inPartition = (partition: number): string[] =>
  Array.from({ length: 100 }, (_, i) => `user-${i}`).filter((user) => partitionOf(user, 2) === partition)
