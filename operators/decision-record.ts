// What is kept of an attribution, to say later who won and why: what it was decided on, not what was decided. Winners and credits are
// computed anew from it by the rules that decided (operators/attribution-models.ts).
// DR1: of a conversion with more than TOUCHES_KEPT_MAX touches the youngest are kept and those that any lane's last touch names,
//      so that who has the credit of labels can always be said.
// DR2: decode(encode(record)) is the record. Vectors are not kept, and of a click_id only whether it is the conversion's.
// Which conversions are kept and for how long: operators/decisions.ts; what is said of them: operators/decision-explanation.ts.

import type { Codec } from '../state/store.ts'
import { candidatesIn, lastTouch } from './attribution-models.ts'
import { type AttributionWindow, coversTouch, type Goal } from './attribution-settings.ts'
import type { EventType } from './event.ts'
import type { Conversion, Matched, Touch } from './touch.ts'

/** More than a person has of one advertiser in the longest window, but for the odd one; a record with as many takes some ten kilobytes. */
export const TOUCHES_KEPT_MAX = 128

/** A goal of a conversion at the time of its attribution. */
export interface DecidedGoal {
  /** '': no goals are declared. */
  readonly name: string
  /** false: it was gone by then. */
  readonly declared: boolean
  /** Places of the kept touches that it covers; null: all. */
  readonly covered: readonly number[] | null
}

/** What a conversion's attribution was decided on. */
export interface Decision {
  readonly conversion: Conversion
  readonly late: boolean
  readonly revision: number
  /** In the order of conversion.goals; none: it is attributed to nobody, for what its conversion says. */
  readonly goals: readonly DecidedGoal[]
  /** The kept ones, in the order (time, type, id). */
  readonly touches: readonly Touch[]
  readonly touchesTotal: number
  /** Event time of the youngest touch that is not kept, milliseconds; null: all are. */
  readonly leftOutUntilMs: number | null
}

/** What is kept of a conversion at its attribution. `goals`: those that hold for it. */
export function decisionOf(
  { conversion, candidates, late, revision }: Matched,
  windows: readonly AttributionWindow[],
  goals: readonly Goal[],
): Decision {
  const asked = conversion.goals.map((name) => ({ name, goal: goals.find((goal) => goal.name === name) }))
  const coveredBy = ({ name, goal }: (typeof asked)[number], touches: readonly Touch[]): readonly Touch[] =>
    name === '' ? touches : touches.filter((touch) => goal !== undefined && coversTouch(goal, touch))
  let touches = candidates
  let leftOutUntilMs: number | null = null
  if (candidates.length > TOUCHES_KEPT_MAX) {
    const kept = new Set(candidates.slice(-TOUCHES_KEPT_MAX))
    for (const one of asked)
      for (const window of windows) {
        const winner = lastTouch(conversion, candidatesIn(window, conversion, coveredBy(one, candidates)))
        if (winner !== null) kept.add(winner)
      }
    touches = candidates.filter((touch) => kept.has(touch))
    leftOutUntilMs = candidates.findLast((touch) => !kept.has(touch))?.timeMs ?? null
  }
  return {
    ...{ conversion, late, revision, touchesTotal: candidates.length, leftOutUntilMs },
    touches: touches.map((touch) => keptOf(touch, conversion)),
    goals: asked.map((one) => {
      const covered = new Set(coveredBy(one, touches))
      const declared = one.name === '' || one.goal !== undefined
      const places = touches.flatMap((touch, place) => (covered.has(touch) ? [place] : []))
      return { name: one.name, declared, covered: covered.size === touches.length && declared ? null : places }
    }),
  }
}

/** What is kept of a conversion that is attributed to nobody: of no goal. */
export function undecided(conversion: Conversion, late: boolean): Decision {
  return { conversion, late, revision: 0, goals: [], touches: [], touchesTotal: 0, leftOutUntilMs: null }
}

/** DR2. */
function keptOf(touch: Touch, { clickId }: Conversion): Touch {
  return { ...touch, clickId: touch.clickId === clickId ? clickId : null, vector: null }
}

type DecisionJson = readonly [
  conversion: readonly [
    type: EventType,
    id: string,
    timeMs: number,
    user: string,
    ownUser: string | null,
    advertiser: string,
    orderId: string | null,
    clickId: string | null,
    valueMicro: number | null,
    currency: string | null,
    refundOf: readonly [string | null] | 0,
    bots: 'mark' | 'drop' | 0,
  ],
  late: 0 | 1,
  revision: number,
  goals: readonly (readonly [name: string, declared: 0 | 1, covered: readonly number[] | null])[],
  touches: readonly TouchJson[],
  touchesTotal: number,
  leftOutUntilMs: number | null,
  /** Of campaigns and ads, which many touches share. */
  names: readonly string[],
]

type TouchJson = readonly [type: 'c' | 'i', id: string, ageMs: number, campaign: number, ad: number, hasClickId: 0 | 1]

const bit = (is: boolean): 0 | 1 => (is ? 1 : 0)

/** As JSON: it is read by people, one at a time, and most of it is ids. */
export const decisionCodec: Codec<Decision> = {
  encode({ conversion, late, revision, goals, touches, touchesTotal, leftOutUntilMs }) {
    const { type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency } = conversion
    const { refundOf, bots } = conversion
    const names = new Map<string, number>()
    const nameOf = (name: string): number => {
      const known = names.get(name) ?? names.size
      names.set(name, known)
      return known
    }
    const refunds = refundOf === undefined ? 0 : ([refundOf] as const)
    const json: DecisionJson = [
      [type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency, refunds, bots ?? 0],
      bit(late),
      revision,
      goals.map(({ name, declared, covered }) => [name, bit(declared), covered]),
      touches.map((touch) => [
        touch.type === 'click' ? 'c' : 'i',
        touch.id,
        timeMs - touch.timeMs,
        nameOf(touch.campaign),
        nameOf(touch.ad),
        bit(touch.clickId !== null),
      ]),
      touchesTotal,
      leftOutUntilMs,
      [...names.keys()],
    ]
    return Buffer.from(JSON.stringify(json))
  },
  decode(bytes) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
    const [of, late, revision, goals, touches, touchesTotal, leftOutUntilMs, names] = JSON.parse(text) as DecisionJson
    const [type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency, refundOf, bots] = of
    const conversion: Conversion = {
      ...{ kind: 'conversion', type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency },
      goals: goals.map(([name]) => name),
      ...(refundOf === 0 ? {} : { refundOf: refundOf[0] }),
      ...(bots === 0 ? {} : { bots }),
    }
    return {
      ...{ conversion, late: late === 1, revision, touchesTotal, leftOutUntilMs },
      goals: goals.map(([name, declared, covered]) => ({ name, declared: declared === 1, covered })),
      touches: touches.map(([kind, touchId, ageMs, campaign, ad, hasClickId]) => ({
        ...{ kind: 'touch', type: kind === 'c' ? 'click' : 'impression', id: touchId, timeMs: timeMs - ageMs },
        ...{ user, advertiser, campaign: names[campaign]!, ad: names[ad]! },
        ...{ clickId: hasClickId === 1 ? clickId : null, vector: null },
      })),
    }
  },
}
