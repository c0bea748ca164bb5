// The joiner as stages: conversions find their touches (docs/joiner.md has its picture, its times and its readings of the contract).
// JO1: conversions with a click_id pass the click index, everything else goes straight to the stage of attribution.
// JO2: conversions are accepted there, under the user that they were resolved to; of all other events user-1 has decided before.
// What the operators do is in operators/; how records travel is topology/joiner-exchanges.ts's.

import { ATTRIBUTIONS, attribution } from '../operators/attribution.ts'
import type { AttributionSettings } from '../operators/attribution-settings.ts'
import { clickIndex } from '../operators/click-index.ts'
import { conversionDuplicates } from '../operators/conversion-duplicates.ts'
import { decisions } from '../operators/decisions.ts'
import { DUPLICATES_DEFAULT } from '../operators/duplicate-rule.ts'
import type { Event } from '../operators/event.ts'
import { hold } from '../operators/hold.ts'
import { toJoin } from '../operators/joining.ts'
import { LABELS, labels } from '../operators/labels.ts'
import type { TaughtRows } from '../operators/model-records.ts'
import { refunds } from '../operators/refunds.ts'
import type { JoinRecord } from '../operators/touch.ts'
import { CONVERSIONS, conversionStream } from '../sinks/conversion-stream.ts'
import type { Sending, Stream, TopologyBuilder } from './dsl.ts'
import { CLICK_EXCHANGE, directExchange, JOIN_EXCHANGE } from './joiner-exchanges.ts'
import { rowExchange } from './models/row-exchange.ts'
import type { OutputPlan } from './plan.ts'
import { keepPurchases } from './purchases.ts'

export const CLICK_STAGE = 'clicks'
export const JOIN_STAGE = 'user-2'

/** A touch has some four records of rows, of twice its own size; a run keeps them all until its end. */
const LABELS_ROOM = 6

export interface JoinerOptions {
  readonly settings: AttributionSettings
  /** How attributions are published. Labels, of which a touch has some, come in frames: a message for each would cost more than the row. */
  readonly mode: OutputPlan['mode']
  /** How accepted conversions are published; `off`: not at all. */
  readonly accepted: OutputPlan['mode'] | 'off'
  /** Whether purchases of the last days are features as well. */
  readonly live: boolean
  /** The goal whose rows are for training, '' without declared goals; not given: none are. */
  readonly taught?: string | undefined
}

/** Adds the joiner to a graph; returns the rows that are for training. `events`: accepted, but for conversions, of which all come. `touches`: from another stage; null: they are of the events. */
export function join(
  t: TopologyBuilder,
  events: Stream<Event>,
  touches: Sending<JoinRecord> | null,
  { settings, mode, accepted, live, taught }: JoinerOptions,
): Sending<TaughtRows> {
  const told = events.through(toJoin(settings))
  const resolved = told.keyBy(CLICK_STAGE, CLICK_EXCHANGE).through(clickIndex(settings))
  const inputs = [told.via(directExchange(touches === null ? 'here' : 'apart')), resolved.via(JOIN_EXCHANGE)]
  if (touches !== null) inputs.push(touches)
  const outputs: OutputPlan[] = [
    { name: ATTRIBUTIONS, mode },
    { name: LABELS, mode: 'frames', room: LABELS_ROOM },
  ]
  if (accepted !== 'off') outputs.push({ name: CONVERSIONS, mode: accepted })
  const { graceMs } = settings
  const first = t.merge(JOIN_STAGE, inputs, outputs).through(conversionDuplicates({ graceMs }))
  if (accepted !== 'off') first.through(conversionStream(CONVERSIONS))
  const matched = first.through(hold(settings))
  matched.through(decisions(settings))
  const { orderHorizonMs } = DUPLICATES_DEFAULT
  const attributed = matched.through(attribution(settings, ATTRIBUTIONS))
  const labelled = { output: LABELS, orderHorizonMs }
  const said = attributed.through(labels(settings, taught === undefined ? labelled : { ...labelled, taught }))
  keepPurchases(said.through(refunds(settings, labelled)), settings, { live })
  return said.via(rowExchange())
}
