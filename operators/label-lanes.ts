// The lanes of label rows (goal x window), and when the rows of a touch are due (contract.md, section 5).
// LL1: what is due of a touch, and when, follows from its kind and the windows alone, so that one timer after the other says it;
//      goals, which a `config` record changes, only decide which lanes are in it.

import { type AttributionSettings, lengthFor } from './attribution-settings.ts'
import { LANE_COUNTS, type LaneCount, laneCountName } from './label-counts.ts'
import type { TouchType } from './touch.ts'

export interface Lane {
  /** Empty: of no declared goal. */
  readonly goal: string
  /** Index among the configured windows. */
  readonly window: number
  readonly windowName: string
  /** Names of its counters. */
  readonly counts: Readonly<Record<LaneCount, string>>
}

/** How a lane's name is said: that of its window, behind that of its goal where goals are declared. */
export const laneName = (goal: string, window: string): string => (goal === '' ? window : `${goal}/${window}`)

/** Rows of a touch that are due together. */
export interface Step {
  readonly kind: 'O' | 'M'
  /** After the touch, milliseconds. */
  readonly afterMs: number
  /** Indexes among the configured windows. */
  readonly windows: readonly number[]
  /** Among all steps: timers name theirs by it. */
  readonly place: number
  readonly next: Step | null
}

type Times = Pick<AttributionSettings, 'windows' | 'graceMs' | 'shortWaitMs'>

/** Whether O speaks of a window of this length. */
export const isObserved = (lengthMs: number, { shortWaitMs }: Pick<Times, 'shortWaitMs'>): boolean =>
  lengthMs > shortWaitMs

/** What is due of touches, in its order: by time, O before M. Those of clicks, then those of impressions. */
export function stepsOf(settings: Times): { readonly all: readonly Step[]; first(type: TouchType): Step | null } {
  const all: Step[] = []
  const chained = (type: TouchType): Step | null => {
    const due = dueOf(type, settings)
    const from = all.length
    due.forEach((step, i) => {
      all.push({ ...step, place: from + i, next: null })
    })
    for (let place = all.length - 2; place >= from; place--) all[place] = { ...all[place]!, next: all[place + 1]! }
    return all[from] ?? null
  }
  const [click, impression] = [chained('click'), chained('impression')]
  return { all, first: (type) => (type === 'click' ? click : impression) }
}

type Due = Pick<Step, 'kind' | 'afterMs' | 'windows'>

function dueOf(type: TouchType, settings: Times): readonly Due[] {
  const { windows, graceMs, shortWaitMs } = settings
  const due = new Map<string, Due & { readonly windows: number[] }>()
  const add = (kind: 'O' | 'M', afterMs: number, window: number): void => {
    const step = due.get(`${kind}${afterMs}`)
    if (step === undefined) due.set(`${kind}${afterMs}`, { kind, afterMs, windows: [window] })
    else step.windows.push(window)
  }
  windows.forEach((window, index) => {
    const lengthMs = lengthFor(window, type)
    if (lengthMs === null) return
    if (isObserved(lengthMs, settings)) add('O', shortWaitMs + graceMs, index)
    add('M', lengthMs + graceMs, index)
  })
  return [...due.values()].sort((a, b) => a.afterMs - b.afterMs || (a.kind === 'O' ? -1 : 1))
}

/** Gives the lanes of a goal, one for each window, in their order: each made once. */
export function laneTable({ windows }: Pick<AttributionSettings, 'windows'>): (goal: string) => readonly Lane[] {
  // As many as there are goals: they are configured, never read from events.
  const known = new Map<string, readonly Lane[]>()
  return (goal) => {
    const lanes = known.get(goal)
    if (lanes !== undefined) return lanes
    const made = windows.map(({ name }, window): Lane => {
      const counts = LANE_COUNTS.map((what) => [what, laneCountName(what, laneName(goal, name))])
      return { goal, window, windowName: name, counts: Object.fromEntries(counts) }
    })
    known.set(goal, made)
    return made
  }
}
