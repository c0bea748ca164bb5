// From what a client asks about purchases to a PurchasesAsk, and from what was found to an answer: the same for a node's route and for
// the directory of a run. Rules of requests: sinks/read-ask.ts; refusals of all reads: sinks/read-format.ts.

import { Compile } from 'typebox/compile'
import { isDate, isTimeZone } from './calendar-days.ts'
import { positionText } from './feature-reads.ts'
import type { PurchasesAsk, PurchasesOutcome } from './purchase-reads.ts'
import type { ReportSum } from './purchase-report.ts'
import { type PurchasesAnswer, PurchasesQuery } from './purchase-schemas.ts'
import { faultOf, isKey, isRefusal, optionsOf, type Refusal, refused } from './read-ask.ts'
import { type Answer, failure, failureOf } from './read-format.ts'

const queryCheck = Compile(PurchasesQuery)
const HOUR_MS = 3_600_000

/** `given`: the other parameters. `timeZoneOf`: where none is named. */
export function askOfPurchases(
  advertiser: unknown,
  given: Readonly<Record<string, unknown>>,
  timeZoneOf: (advertiser: string) => string,
): PurchasesAsk | Refusal {
  if (typeof advertiser !== 'string' || !isKey(advertiser))
    return refused('advertiser', 'advertiser must be an advertiser_id')
  if (given.at !== undefined) return refused('at', 'at does not go with purchases: from and to say which days')
  if (!queryCheck.Check(given)) return faultOf(queryCheck.Errors(given))
  const options = optionsOf(given)
  if (isRefusal(options)) return options
  const {
    by = 'advertiser',
    window = null,
    goal = '',
    from = null,
    to = null,
    time_zone = timeZoneOf(advertiser),
  } = given
  for (const [name, date] of Object.entries({ from, to }))
    if (date !== null && !isDate(date)) return refused(name, `${name} must be a date like 2026-03-29`)
  if (from !== null && to !== null && from > to) return refused('from', 'from must not be after to')
  if (!isTimeZone(time_zone))
    return refused('time_zone', 'time_zone must be a name of the IANA database, such as Europe/Berlin')
  const { snapshot, wait, waitMs } = options
  return { advertiser, by, window, goal, from, to, timeZone: time_zone, snapshot, wait, waitMs }
}

/** A report, or why there is none. */
export function purchasesAnswer(outcome: PurchasesOutcome): Answer<PurchasesAnswer> {
  switch (outcome.kind) {
    case 'no_attribution':
      return failure(404, 'NO_ATTRIBUTION', 'this node attributes no conversions: its configuration says so')
    case 'unknown_window':
      return failure(404, 'UNKNOWN_WINDOW', `there are the windows ${outcome.windows.join(', ')}`, { field: 'window' })
    case 'too_large':
      return failure(422, 'REPORT_TOO_LARGE', outcome.what)
    case 'purchases':
      return { status: 200, body: bodyOf(outcome) }
    default:
      return failureOf(outcome)
  }
}

function bodyOf({ ask, lane, report, facts }: Extract<PurchasesOutcome, { kind: 'purchases' }>): PurchasesAnswer {
  const { asOf, completeThrough, appliedThrough, epoch, config } = facts
  return {
    ...{ advertiser_id: ask.advertiser, by: ask.by, goal: lane.goal === '' ? null : lane.goal, window: lane.window },
    ...{ time_zone: ask.timeZone, through: report.throughMs, curve: report.curve },
    days: report.days.map(({ date, fromMs, toMs, mature, share }) => ({
      ...{ day: date, from: fromMs, to: toMs, hours: (toMs - fromMs) / HOUR_MS, mature, share },
    })),
    purchases: report.lines.map((line) => ({ day: line.day, id: line.id, ...told(line) })),
    totals: report.totals.map((total) => ({ day: total.day, ...told(total) })),
    snapshot: {
      ...{
        as_of: asOf,
        complete_through: completeThrough,
        applied_through: positionText(appliedThrough),
        epoch,
        config,
      },
    },
  }
}

function told(sum: ReportSum) {
  const { currency, credited, takenBack, value, creditedValue, takenBackValue, state, estimate } = sum
  return {
    ...{ currency, count: credited - takenBack, value, credited, taken_back: takenBack },
    ...{ credited_value: creditedValue, taken_back_value: takenBackValue, state },
    estimate: estimate === null ? null : { ...estimate },
  }
}
