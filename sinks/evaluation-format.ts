// From what a client asks about scores to an EvaluationAsk, and from what was found to an answer. Rules of requests: sinks/read-ask.ts;
// refusals of all reads: sinks/read-format.ts.

import { Compile } from 'typebox/compile'
import type { HistogramFigures } from '../ml/score-histogram.ts'
import { EVALUATION_DAYS_DEFAULT, type EvaluationAsk, type EvaluationOutcome } from './evaluation-reads.ts'
import type { EstimatedCalibration } from './evaluation-report.ts'
import { type EvaluationAnswer, EvaluationQuery } from './evaluation-schemas.ts'
import { positionText } from './feature-reads.ts'
import { faultOf, isKey, isRefusal, optionsOf, type Refusal, refused } from './read-ask.ts'
import { type Answer, failure, failureOf } from './read-format.ts'

const queryCheck = Compile(EvaluationQuery)

/** `given`: the parameters, with numbers where numbers are meant. */
export function askOfEvaluation(given: Readonly<Record<string, unknown>>): EvaluationAsk | Refusal {
  if (given.at !== undefined) return refused('at', 'at does not go with an evaluation: days say which touches')
  if (!queryCheck.Check(given)) return faultOf(queryCheck.Errors(given))
  const options = optionsOf(given)
  if (isRefusal(options)) return options
  const { window = null, slice = 'all', id = null, days = EVALUATION_DAYS_DEFAULT } = given
  if (id !== null && slice === 'all') return refused('id', 'id goes with a slice of several')
  if (id !== null && !isKey(id)) return refused('id', 'id must be that of an advertiser, a version, or a type of touch')
  const { snapshot, wait, waitMs } = options
  return { window, slice, id, days, snapshot, wait, waitMs }
}

/** A report, or why there is none. */
export function evaluationAnswer(outcome: EvaluationOutcome): Answer<EvaluationAnswer> {
  switch (outcome.kind) {
    case 'no_evaluation':
      return failure(404, 'NO_EVALUATION', 'this node trains no model')
    case 'unknown_window':
      return failure(404, 'UNKNOWN_WINDOW', `there are the windows ${outcome.windows.join(', ')}`, { field: 'window' })
    case 'too_large':
      return failure(422, 'REPORT_TOO_LARGE', outcome.what)
    case 'evaluation':
      return { status: 200, body: bodyOf(outcome) }
    default:
      return failureOf(outcome)
  }
}

const DATE_CHARS = 10

function bodyOf({ ask, window, report, facts }: Extract<EvaluationOutcome, { kind: 'evaluation' }>): EvaluationAnswer {
  const { asOf, completeThrough, appliedThrough, epoch, config } = facts
  return {
    ...{ window, slice: ask.slice, id: ask.id, through: report.throughMs, rows: report.rows },
    ...{ total: told(report.total), estimated: toldEstimate(report.estimated) },
    curve: report.curve.map(({ interval, ...point }) => ({ ...point, low: interval.low, high: interval.high })),
    days: report.days.map(({ dayMs, mature, estimated, ...figures }) => ({
      day: new Date(dayMs).toISOString().slice(0, DATE_CHARS),
      ...{ mature, ...told(figures), estimated: toldEstimate(estimated) },
    })),
    slices: report.slices.map(({ id, ...figures }) => ({ id, ...told(figures) })),
    snapshot: {
      ...{ as_of: asOf, complete_through: completeThrough, applied_through: positionText(appliedThrough) },
      ...{ epoch, config },
    },
  }
}

function told({ touches, positives, logLoss, normalisedEntropy, calibration, auc }: HistogramFigures) {
  return {
    ...{
      touches,
      positives,
      log_loss: logLoss,
      normalised_entropy: normalisedEntropy,
      ...toldCalibration(calibration),
    },
    ...{ auc: auc?.value ?? null, auc_error: auc?.error ?? null },
  }
}

const toldCalibration = (calibration: HistogramFigures['calibration']) => ({
  calibration: calibration?.value ?? null,
  calibration_low: calibration?.interval.low ?? null,
  calibration_high: calibration?.interval.high ?? null,
})

function toldEstimate(estimated: EstimatedCalibration | null) {
  if (estimated === null) return null
  const { touches, promised, known, calibration } = estimated
  return { touches, promised, known, ...toldCalibration(calibration) }
}
