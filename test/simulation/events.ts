// Lines of a small shop by seed: few users and pages, much disorder, late events, duplicates near and far, broken lines.
// Everything that the first stage distinguishes happens often in a few hundred lines.

import { Random } from '../../cli/generate/random.ts'
import { LATENESS_MS } from './topologies.ts'

export const EVENTS_START_MS = 1_740_268_800_000
/** Mean distance of two events, milliseconds: a few hundred of them span hours. */
const GAP_MS = 30_000

export function eventLines(seed: number, count: number): string[] {
  const random = new Random(seed)
  const lines: string[] = []
  let timeMs = EVENTS_START_MS
  for (let i = 0; i < count; i++) {
    timeMs += Math.floor(random.wait(GAP_MS))
    if (random.chance(0.02)) timeMs += 20 * 60_000
    if (random.chance(0.12) && lines.length > 0) lines.push(again(random, lines))
    else if (random.chance(0.05)) lines.push(broken(random, i))
    else lines.push(line(random, i, timeMs - delay(random)))
  }
  return lines
}

/** Most come at once, some within the lateness, some behind it, a few by hours. */
function delay(random: Random): number {
  if (random.chance(0.6)) return 0
  if (random.chance(0.7)) return random.below(LATENESS_MS)
  return random.below(random.chance(0.9) ? 5 * LATENESS_MS : 3 * 3_600_000)
}

function line(random: Random, number: number, timeMs: number): string {
  const user = random.chance(0.05) ? null : `u${random.zipf(9)}`
  const common = { event_id: `e${number}`, event_time: timeMs, user_id: user }
  if (random.chance(0.75))
    return JSON.stringify({ type: 'page_view', ...common, page_id: `/${'amz'[random.below(3)]}${random.zipf(7)}` })
  const conversion = {
    type: 'conversion',
    ...common,
    click_id: `k${random.below(5)}`,
    advertiser_id: `a${random.below(2)}`,
  }
  return JSON.stringify({ ...conversion, order_id: `o${random.below(30)}`, value: random.below(5) - 1 })
}

/** A former line once more: as it was, or with another time. */
function again(random: Random, lines: readonly string[]): string {
  const former = random.chance(0.7) ? lines.at(-1 - random.below(Math.min(20, lines.length)))! : random.pick(lines)
  if (random.chance(0.6) || !former.startsWith('{"type"')) return former
  const fields = JSON.parse(former) as { event_time: number }
  return JSON.stringify({
    ...fields,
    event_time: fields.event_time + (random.chance(0.5) ? 1 : -1) * random.below(30 * 60_000),
  })
}

function broken(random: Random, number: number): string {
  return random.pick(['{', '', `{"type":"page_view","event_id":"b${number}"}`, '{"type":"nothing"}', '[1]', '"é"'])
}
