// What goes in and out of reports on scores as JSON. The rest of the read API: sinks/read-schemas.ts.
// Figures are flat, with null where they have no meaning: the serializer takes lists of types.

import { type Static, Type } from 'typebox'
import { SLICE_KINDS, type SliceKind } from '../operators/evaluation-tally.ts'
import { EVALUATION_DAYS_DEFAULT, EVALUATION_DAYS_MAX } from './evaluation-reads.ts'
import { FACTS, OPTIONS } from './read-schemas.ts'

const { at: _, ...withoutTime } = OPTIONS
const SliceName = Type.Unsafe<SliceKind>({
  type: 'string',
  enum: [...SLICE_KINDS],
  description: 'What slices are by; all by default: there is one.',
})

export const EvaluationQuery = Type.Object(
  {
    window: Type.Optional(Type.String({ description: 'Of attribution; the first that is configured by default.' })),
    slice: Type.Optional(SliceName),
    id: Type.Optional(
      Type.String({ description: 'Of which slice total, days and curve are; of all touches by default.' }),
    ),
    days: Type.Optional(
      Type.Integer({
        ...{ minimum: 1, maximum: EVALUATION_DAYS_MAX },
        description: `Days of touches (UTC), the newest that have begun; ${EVALUATION_DAYS_DEFAULT} by default.`,
      }),
    ),
    ...withoutTime,
  },
  { additionalProperties: false },
)
export type EvaluationQuery = Static<typeof EvaluationQuery>

const NumberOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['number', 'null'], description })

const FIGURES = {
  touches: Type.Integer({ description: 'Those whose window is over.' }),
  positives: Type.Integer({ description: 'Of these, those that converted.' }),
  log_loss: NumberOrNull('Nats per touch.'),
  normalised_entropy: NumberOrNull(
    "Log loss / entropy of the touches' own rate: who always says that rate is at 1; less is better. null: all or none of them converted.",
  ),
  calibration: NumberOrNull('Sum of probabilities / conversions: above 1 promises too much. null: none converted.'),
  calibration_low: NumberOrNull(
    'Between low and high it is with 95 %, by the chance of the conversions (Byar, Poisson).',
  ),
  calibration_high: NumberOrNull('The upper end.'),
  auc: NumberOrNull('The chance that a touch that converts has a higher probability than one that does not.'),
  auc_error: NumberOrNull('Probabilities are kept in bins: the AUC of the single touches is at most this far off.'),
}

const Estimated = Type.Unsafe<{
  touches: number
  promised: number
  known: number
  calibration: number | null
  calibration_low: number | null
  calibration_high: number | null
} | null>({
  type: ['object', 'null'],
  description: 'Of windows that are open. null: all are over, or too few conversions tell how long they take.',
  properties: {
    touches: { type: 'integer' },
    promised: {
      type: 'number',
      description: 'Conversions that the probabilities promise by now, by the age of each touch.',
    },
    known: { type: 'integer', description: 'Touches that are known to have converted.' },
    calibration: { type: ['number', 'null'], description: 'promised / known; null: too few are known.' },
    calibration_low: { type: ['number', 'null'] },
    calibration_high: { type: ['number', 'null'] },
  },
  required: ['touches', 'promised', 'known', 'calibration', 'calibration_low', 'calibration_high'],
})

const CurvePoint = Type.Object({
  from: Type.Number({ description: 'Probabilities of the point: from, inclusive, to, exclusive.' }),
  to: Type.Number(),
  touches: Type.Integer(),
  positives: Type.Integer(),
  p: Type.Number({ description: 'Mean of the probabilities.' }),
  rate: Type.Number({ description: 'positives / touches.' }),
  low: Type.Number({ description: 'Between low and high it is with 95 % (Wilson).' }),
  high: Type.Number(),
})

const { at: __, ...SNAPSHOT } = FACTS

export const EvaluationAnswer = Type.Object({
  window: Type.String(),
  slice: SliceName,
  id: Type.Unsafe<string | null>({ type: ['string', 'null'] }),
  through: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description: 'Label rows up to here, milliseconds, are counted; null: none has come yet.',
  }),
  rows: Type.Object(
    {
      mature: Type.Integer({ description: 'M, in the figures.' }),
      open: Type.Integer({ description: 'O and D, for what is estimated.' }),
      fallback: Type.Integer({ description: 'Scored by the fallback: in no figure but those of version 0.' }),
      incomplete: Type.Integer({ description: 'Their window was not seen to its end.' }),
      unscored: Type.Integer({ description: 'Nothing was said of the touch.' }),
      expired: Type.Integer({ description: 'Their day was forgotten.' }),
      other: Type.Integer({ description: 'C and R.' }),
    },
    { description: 'Label rows of all windows since the beginning, by what became of them.' },
  ),
  total: Type.Object(FIGURES, { description: 'Of these days together.' }),
  estimated: Estimated,
  curve: Type.Array(CurvePoint, {
    description: 'Of these days together, by probability: points of some conversions each.',
  }),
  days: Type.Array(
    Type.Object({
      day: Type.String({ description: 'UTC date of the touches.' }),
      mature: Type.Boolean({ description: 'Whether every touch of the day is older than the window.' }),
      ...FIGURES,
      estimated: Estimated,
    }),
    { description: 'Those on which something is known.' },
  ),
  slices: Type.Array(
    Type.Object({
      id: Type.String({
        description:
          'Advertiser, version (0: the fallback), click or impression; empty: all, or the rest without a name.',
      }),
      ...FIGURES,
    }),
    { description: 'Over these days, the most touches first.' },
  ),
  snapshot: Type.Object(SNAPSHOT),
})
export type EvaluationAnswer = Static<typeof EvaluationAnswer>
