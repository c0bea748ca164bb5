// Turns what is known of a conversion's attribution into an answer: a status of HTTP, and the JSON that the command, the page and
// programs read. What is said of other reads, and refusals: sinks/read-format.ts.
// AF1: an answer has EXPLAINED_ROWS_MAX rows at most, shared evenly by the conversions in it.

import { EXPLAINED_ROWS_MAX, type ExplainedLane, explainDecision, spanText } from '../operators/decision-explanation.ts'
import type { Decision } from '../operators/decision-record.ts'
import type { AttributionOutcome, AttributionRules } from './attribution-reads.ts'
import type { AttributionAnswer } from './attribution-schemas.ts'
import type { SnapshotFacts } from './feature-reads.ts'
import { type Answer, type Failure, failure, failureOf, isSame, snapshotOf } from './read-format.ts'

const MICRO = 1e6

type Told = AttributionAnswer['attributions'][number]

/** Who won, and why; 404 with what to do where nothing is known. */
export function attributionAnswer(outcome: AttributionOutcome): Answer<AttributionAnswer> {
  if (outcome.kind === 'no_attribution')
    return failure(404, 'NO_ATTRIBUTION', 'this node attributes no conversions: its configuration says so')
  if (outcome.kind === 'unknown_conversion') return unknown(outcome.rules, outcome.completeThrough)
  if (outcome.kind !== 'attribution') return failureOf(outcome)
  const { conversion, rules, found, more } = outcome
  const snapshots: SnapshotFacts[] = []
  const rowsMax = Math.floor(EXPLAINED_ROWS_MAX / found.length)
  const attributions = found.map(({ decision, facts }) => {
    const known = snapshots.findIndex((other) => isSame(other, facts))
    return { ...told(decision, rules, rowsMax), snapshot: known === -1 ? snapshots.push(facts) - 1 : known }
  })
  const told_ = snapshots.map((facts) => {
    const { at, ...snapshot } = snapshotOf({ at: null, facts })
    return snapshot
  })
  return { status: 200, body: { conversion_id: conversion, attributions, more, snapshots: told_ } }
}

function unknown({ graceMs, keptMs }: AttributionRules, completeThrough: number | null): Failure {
  const through = completeThrough === null ? 'nothing has come yet' : new Date(completeThrough).toISOString()
  const message =
    `no conversion of this id was attributed lately: one is when complete_through (now ${through}) passes its time by ` +
    `${spanText(graceMs)}, can be asked about for ${spanText(keptMs)}, and duplicates never are`
  return failure(404, 'UNKNOWN_CONVERSION', message)
}

function told(decision: Decision, rules: AttributionRules, rowsMax: number): Omit<Told, 'snapshot'> {
  const { conversion, late, revision, touches, touchesTotal } = decision
  const { type, user, ownUser, timeMs, advertiser, orderId, clickId, valueMicro, currency } = conversion
  const { outcome, why, owner, lanes, lanesLeftOut } = explainDecision(decision, rules, rowsMax)
  return {
    ...{ type, user_id: user, own_user_id: ownUser, owner: owner.by, owner_why: owner.why, event_time: timeMs },
    ...{ advertiser_id: advertiser, order_id: orderId, click_id: clickId, currency, late, revision },
    value: valueMicro === null ? null : valueMicro / MICRO,
    ...{ outcome, outcome_why: why, touches_total: touchesTotal },
    touches: touches.map((touch) => ({
      ...{ touch_id: touch.id, type: touch.type, event_time: touch.timeMs, age_ms: timeMs - touch.timeMs },
      ...{ campaign_id: touch.campaign, ad_id: touch.ad, has_click_id: touch.clickId !== null },
    })),
    windows: lanes.map(laneOf),
    windows_left_out: lanesLeftOut,
  }
}

function laneOf({ goal, window, rule, standings, models }: ExplainedLane): Told['windows'][number] {
  return {
    ...{ goal: goal === '' ? null : goal, window, rule },
    touches: standings.map(({ touch, out }) => ({
      ...{ touch, out: out?.code ?? null, by_ms: out?.byMs ?? null, why: out?.why ?? null },
    })),
    models: models.map(({ model, rule, credits }) => ({
      ...{ model, rule, credits: [...(credits ?? [])], known: credits !== null },
    })),
  }
}
