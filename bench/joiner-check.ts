// Whether a run of the joiner's bench has accounted for its input: every touch is held and has its rows when they are due, every conversion is
// attributed or said to be nobody's, and the law of conservation holds (operators/label-counts.ts).
// JC1: what is expected is counted in the input's lines, not in what the run says of them.
// JC2: rows are due by the watermark that a task of attribution has committed: of several tasks, by the lowest at least, by the highest at most.

import type { AttributionSettings } from '../operators/attribution-settings.ts'
import { lengthFor } from '../operators/attribution-settings.ts'
import { conservation, laneCountName } from '../operators/label-counts.ts'
import { isObserved } from '../operators/label-lanes.ts'
import type { TouchType } from '../operators/touch.ts'

/** What lines of input come to: event times of touches, ascending, and how many conversions. */
export interface JoinerFacts {
  readonly events: number
  readonly touchTimes: Readonly<Record<TouchType, readonly number[]>>
  readonly conversions: number
}

/** Counts of all tasks together, with those of `touches` and `conversions`, and watermarks of the tasks of attribution. */
export interface JoinerCounted {
  readonly counts: Readonly<Record<string, number>>
  readonly watermarks: readonly number[]
}

const TYPES: readonly TouchType[] = ['click', 'impression']

export function factsOf(lines: Iterable<string>): JoinerFacts {
  const touchTimes: Record<TouchType, number[]> = { click: [], impression: [] }
  let [events, conversions] = [0, 0]
  for (const line of lines) {
    const { type, event_time } = JSON.parse(line) as { type: string; event_time: number }
    events++
    if (type === 'click' || type === 'impression') touchTimes[type].push(event_time)
    else if (type === 'conversion') conversions++
  }
  return { events, touchTimes, conversions }
}

/** Throws where something is not accounted for, and says what. */
export function checkJoined(
  facts: JoinerFacts,
  { counts, watermarks }: JoinerCounted,
  settings: AttributionSettings,
): void {
  const { events, touchTimes, conversions } = facts
  const { accepted = 0, duplicates = 0, dead_letters: dead = 0 } = counts
  if (accepted !== events) throw new Error(`${accepted} of ${events} events were accepted, ${duplicates + dead} not`)
  for (const lane of conservation(counts, settings))
    if (!lane.holds) throw new Error(`${lane.lane}: touches credited and rows do not agree: ${JSON.stringify(lane)}`)
  const touches = touchTimes.click.length + touchTimes.impression.length
  refuseOther('touches that came to be held', counts.touches, touches)
  refuseOther('conversions that came to be attributed', counts.conversions, conversions)
  const { graceMs, shortWaitMs } = settings
  for (const window of settings.windows) {
    const count = (what: Parameters<typeof laneCountName>[0]) => counts[laneCountName(what, window.name)] ?? 0
    const said = count('attributed') + count('unattributed')
    refuseOther(`conversions attributed or nobody's in ${window.name}`, said, conversions)
    if (count('D') === 0) throw new Error(`${window.name} has no D row: its input was to have some`)
    const due = (kind: 'O' | 'M', watermark: number): number =>
      TYPES.reduce((sum, type) => {
        const lengthMs = lengthFor(window, type)
        if (lengthMs === null || (kind === 'O' && !isObserved(lengthMs, settings))) return sum
        const endMs = watermark - graceMs - (kind === 'O' ? shortWaitMs : lengthMs)
        return sum + touchTimes[type].filter((timeMs) => timeMs <= endMs).length
      }, 0)
    for (const kind of ['O', 'M'] as const) {
      const [least, most] = [due(kind, Math.min(...watermarks)), due(kind, Math.max(...watermarks))]
      if (count(kind) < least || count(kind) > most)
        throw new Error(`${count(kind)} ${kind} rows of ${window.name}: ${least} to ${most} touches are as old`)
    }
  }
}

function refuseOther(what: string, found = 0, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found}, and ${expected} are in the input`)
}
