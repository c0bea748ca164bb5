// Why a conversion is credited to whom it is: of each lane which touches are candidates and why the others are not, and of each
// model who is credited with how much, by which rule, with its numbers.
// EX1: credits are those that were written: computed by the same functions from the same touches (operators/attribution-models.ts).
// EX2: bounded in rows, lane by lane; lanes that are left out are counted.
// EX3: what cannot be said, because touches were not kept, is not said.
// What is kept to explain from is in operators/decision-record.ts; how an answer looks is the sinks'.

import { candidatesIn, creditsOf, decayWeights } from './attribution-models.ts'
import {
  type AttributionModel,
  type AttributionSettings,
  type AttributionWindow,
  lengthFor,
} from './attribution-settings.ts'
import type { DecidedGoal, Decision } from './decision-record.ts'
import { UNIT_MS } from './duration.ts'
import { type Conversion, isRefund, type Touch, type TouchType } from './touch.ts'

/** Rows of one answer: the default windows and every touch that is kept are a sixth of it. A row takes some hundred bytes. */
export const EXPLAINED_ROWS_MAX = 8_192

/** Why a touch is no candidate: after the conversion; too old; of a kind without part; behind another kind; not of the goal. */
export type OutCode = 'after' | 'too_old' | 'kind' | 'precedence' | 'goal'

export interface Out {
  readonly code: OutCode
  /** Milliseconds by which it came too late or is too old; null: that is not why. */
  readonly byMs: number | null
  readonly why: string
}

/** How a touch stands in a lane. */
export interface Standing {
  /** Place of the touch among those of the conversion. */
  readonly touch: number
  /** null: it is a candidate. */
  readonly out: Out | null
}

export interface ExplainedCredit {
  readonly touch: number
  readonly credit: number
  readonly how: string
}

export interface ExplainedModel {
  readonly model: AttributionModel['name']
  readonly rule: string
  /** None where there is no candidate; null: it cannot be said (EX3). */
  readonly credits: readonly ExplainedCredit[] | null
}

/** One window of one goal. */
export interface ExplainedLane {
  readonly goal: string
  readonly window: string
  readonly rule: string
  readonly standings: readonly Standing[]
  readonly models: readonly ExplainedModel[]
}

/** What became of a conversion: somebody is credited in a lane, or nobody, and why. */
export type DecisionOutcome = 'credited' | 'no_candidate' | 'goal_gone' | 'refund' | 'bot' | 'anonymous' | 'no_goal'

export interface ExplainedDecision {
  readonly outcome: DecisionOutcome
  readonly why: string
  readonly owner: Owner
  readonly lanes: readonly ExplainedLane[]
  readonly lanesLeftOut: number
}

/** Whose the conversion is, and why. */
export interface Owner {
  readonly by: 'own' | 'click' | 'nobody'
  readonly why: string
}

/** Everything that there is to say of a decision, in rowsMax rows of its lanes (EX2). */
export function explainDecision(
  decision: Decision,
  { windows, models }: Pick<AttributionSettings, 'windows' | 'models'>,
  rowsMax: number = EXPLAINED_ROWS_MAX,
): ExplainedDecision {
  const { conversion, goals, touches } = decision
  const rowsOfLane = Math.max(1, touches.length * (1 + models.length))
  const lanesMax = Math.floor(rowsMax / rowsOfLane)
  const all = goals.flatMap((goal) => windows.map((window) => ({ goal, window })))
  const outcome = outcomeOf(decision, windows)
  return {
    ...{ outcome, why: OUTCOMES[outcome], owner: ownerOf(conversion, touches) },
    lanes: all.slice(0, lanesMax).map((lane) => explainLane(decision, lane, models)),
    lanesLeftOut: Math.max(0, all.length - lanesMax),
  }
}

const OUTCOMES: Readonly<Record<DecisionOutcome, string>> = {
  credited: 'in at least one window a touch is credited with it',
  no_candidate: 'no touch of its user and advertiser is in any window',
  goal_gone: 'its goals were not declared any more when it was attributed',
  refund: 'it takes an order back: that is attributed to nobody, and corrects labels',
  bot: 'a program sent it, and the setting "bots" keeps those out',
  anonymous: 'it has neither a user_id nor a click_id',
  no_goal: 'it is a conversion of no declared goal',
}

function outcomeOf({ conversion, goals, touches }: Decision, windows: readonly AttributionWindow[]): DecisionOutcome {
  if (goals.length > 0) {
    const isIn = (goal: DecidedGoal) =>
      windows.some((window) => candidatesIn(window, conversion, coveredTouches(goal, touches)).length > 0)
    if (goals.some(isIn)) return 'credited'
    return goals.some(({ declared }) => declared) ? 'no_candidate' : 'goal_gone'
  }
  if (isRefund(conversion)) return 'refund'
  if (conversion.bots !== undefined) return 'bot'
  return conversion.ownUser === null && conversion.clickId === null ? 'anonymous' : 'no_goal'
}

function ownerOf({ user, ownUser, clickId }: Conversion, touches: readonly Touch[]): Owner {
  if (clickId === null)
    return { by: 'own', why: ownUser === null ? 'it names nobody' : 'its own user_id; it has no click_id' }
  const hasClick = touches.some((touch) => touch.clickId !== null)
  if (user === ownUser) {
    const why = hasClick
      ? 'its own user_id, whose click has its click_id'
      : 'its own user_id: a click with its click_id is theirs, or none was known'
    return { by: 'own', why }
  }
  if (user === `click:${clickId}`)
    return { by: 'nobody', why: 'it has no user_id, and no click with its click_id was known' }
  const own = ownUser === null ? 'it has no user_id' : `its own user_id, ${ownUser}, has no such click`
  return { by: 'click', why: `the user of the first click with its click_id; ${own}` }
}

function coveredTouches({ covered }: DecidedGoal, touches: readonly Touch[]): readonly Touch[] {
  return covered === null ? touches : covered.map((place) => touches[place]!)
}

function explainLane(
  decision: Decision,
  { goal, window }: { readonly goal: DecidedGoal; readonly window: AttributionWindow },
  models: readonly AttributionModel[],
): ExplainedLane {
  const { conversion, touches } = decision
  const covered = new Set(coveredTouches(goal, touches))
  const candidates = candidatesIn(window, conversion, [...covered])
  const places = new Map(touches.map((touch, place) => [touch, place]))
  const standings = touches.map((touch, place): Standing => {
    if (candidates.includes(touch)) return { touch: place, out: null }
    return { touch: place, out: covered.has(touch) ? outOf(window, conversion, touch) : NOT_OF_GOAL }
  })
  const isWhole = hasAll(window, decision)
  return {
    ...{ goal: goal.name, window: window.name, rule: windowRule(window), standings },
    models: models.map((model): ExplainedModel => {
      const rule = MODEL_RULES[model.name](model as never)
      if (!isWhole && model.name !== 'last_touch') return { model: model.name, rule, credits: null }
      if (candidates.length === 0) return { model: model.name, rule, credits: [] }
      const how = howOf(model, conversion, candidates)
      const credits = creditsOf(model, conversion, candidates)
      return {
        ...{ model: model.name, rule },
        credits: credits.map(({ touch, credit }, i) => ({ touch: places.get(touch)!, credit, how: how(touch, i) })),
      }
    }),
  }
}

/** Whether every candidate of the window was kept. */
function hasAll({ click = 0, impression = 0 }: AttributionWindow, { conversion, leftOutUntilMs }: Decision): boolean {
  return leftOutUntilMs === null || conversion.timeMs - leftOutUntilMs > Math.max(click, impression)
}

const NOT_OF_GOAL: Out = { code: 'goal', byMs: null, why: 'not of an ad that the goal is for' }

/** Of a touch that the goal covers. */
function outOf(window: AttributionWindow, conversion: Conversion, { type, timeMs }: Touch): Out {
  const lengthMs = lengthFor(window, type)
  if (lengthMs === null) return { code: 'kind', byMs: null, why: `${type}s have no part in it` }
  const ageMs = conversion.timeMs - timeMs
  if (ageMs < 0) return { code: 'after', byMs: -ageMs, why: `after the conversion by ${spanText(-ageMs)}` }
  const byMs = ageMs - lengthMs
  if (byMs > 0) return { code: 'too_old', byMs, why: `too old by ${spanText(byMs)}` }
  const others = (window.precedence ?? []).filter((other) => other !== type).join(' or ')
  return { code: 'precedence', byMs: null, why: `there is a ${others}, which goes first` }
}

const KINDS: readonly TouchType[] = ['click', 'impression']

function windowRule(window: AttributionWindow): string {
  const lengths = KINDS.flatMap((kind) => {
    const lengthMs = lengthFor(window, kind)
    return lengthMs === null ? [] : [`${kind}s up to ${spanText(lengthMs)} before`]
  })
  const [first] = window.precedence ?? []
  return `${lengths.join(', ')}${first === undefined || lengths.length < 2 ? '' : `; where there is a ${first}, only those`}`
}

type Model<Name extends AttributionModel['name']> = Extract<AttributionModel, { readonly name: Name }>

const MODEL_RULES: { readonly [Name in AttributionModel['name']]: (model: Model<Name>) => string } = {
  last_touch: () => "the last candidate whose click_id is the conversion's, else the last",
  first_touch: () => 'the first candidate',
  linear: () => 'every candidate the same',
  time_decay: ({ halfLifeMs }) => `each candidate by 2^(-age / ${spanText(halfLifeMs)}), as a share of their sum`,
  position: ({ first, middle, last }) =>
    `the first ${first}, the last ${last}, those between share ${middle}; without any between, all goes to the two`,
}

/** The rule of a credit in words and numbers; `place` among the candidates, of which there are some. */
function howOf(
  model: AttributionModel,
  conversion: Conversion,
  candidates: readonly Touch[],
): (touch: Touch, place: number) => string {
  const count = candidates.length
  const ofAll = count === 1 ? 'the only candidate' : null
  switch (model.name) {
    case 'last_touch':
      return ({ clickId: of }) => {
        if (of !== null) return "the last touch whose click_id is the conversion's"
        const named = ofAll === null ? "none has the conversion's click_id" : "it has not the conversion's click_id"
        return `${ofAll ?? `the last of ${count}`}${conversion.clickId === null ? '' : `; ${named}`}`
      }
    case 'first_touch':
      return () => ofAll ?? `the first of ${count}`
    case 'linear':
      return () => ofAll ?? `1 of ${count}`
    case 'time_decay': {
      const { halfLifeMs } = model
      const { weights, sum, zeroMs } = decayWeights(halfLifeMs, conversion, candidates)
      return ({ timeMs }, place) => {
        const power = `2^(-${spanText(zeroMs - timeMs)} / ${spanText(halfLifeMs)})`
        return ofAll ?? `${power} = ${rounded(weights[place]!)} of ${rounded(sum)}`
      }
    }
    case 'position':
      return (_, place) => {
        if (ofAll !== null) return ofAll
        const end = place === 0 ? 'first' : place === count - 1 ? 'last' : null
        if (end === null) return `one of ${count - 2} between, which share ${model.middle}`
        if (count > 2) return `the ${end}: ${model[end]}`
        const ends = model.first + model.last
        return ends === 0 ? 'one of two' : `the ${end} of two: ${model[end]} of ${rounded(ends)}`
      }
  }
}

const rounded = (value: number): string => String(Number(value.toPrecision(4)))

const UNITS = [
  ['d', UNIT_MS.d],
  ['h', UNIT_MS.h],
  ['min', UNIT_MS.m],
  ['s', UNIT_MS.s],
  ['ms', 1],
] as const

/** A length of time in its two largest units: `2 d 3 h`, `5 min`, `1 ms`, `0 ms`. What is less is dropped, never rounded up. */
export function spanText(ms: number): string {
  const largest = UNITS.findIndex(([, unitMs]) => ms >= unitMs)
  if (largest === -1) return '0 ms'
  let restMs = ms
  const parts: string[] = []
  for (const [unit, unitMs] of UNITS.slice(largest, largest + 2)) {
    const count = Math.floor(restMs / unitMs)
    restMs -= count * unitMs
    if (count > 0) parts.push(`${count} ${unit}`)
  }
  return parts.join(' ')
}
