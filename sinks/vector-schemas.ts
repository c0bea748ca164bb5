// What goes in and out of reads of vectors as JSON, over HTTP and over NATS. The rest of the read API: sinks/read-schemas.ts.

import { type Static, Type } from 'typebox'
import type { VectorField } from '../operators/vector.ts'
import { CompleteFrom, FACTS, OPTIONS, Value } from './read-schemas.ts'

/** Touches of one batch: the candidates for one place of an ad. Each takes some ten records of a task, where a key takes one. */
export const TOUCHES_MAX = 100
/** Features that may be named: more than a model of this kind has. */
export const VECTOR_FEATURES_MAX = 1_000
/** Characters of a feature's id: an entity, a dot, a name, an underscore and a window. */
const FEATURE_CHARS_MAX = 160

const Touch = Type.Unsafe<Record<string, unknown>>(
  Type.Object(
    {},
    {
      additionalProperties: true,
      description:
        'Fields as an impression or click has them: user_id, advertiser_id, campaign_id and ad_id make the keys, device, country, event_time and others the context. What is left out is absent.',
    },
  ),
)

export const VectorsBody = Type.Object(
  {
    features: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: FEATURE_CHARS_MAX }), {
        minItems: 1,
        maxItems: VECTOR_FEATURES_MAX,
        description: 'Ids of features, such as user.clicks_7d. Without it: all that a touch can have.',
      }),
    ),
    touches: Type.Array(Touch, { minItems: 1, maxItems: TOUCHES_MAX }),
    ...OPTIONS,
  },
  { additionalProperties: false },
)
export type VectorsBody = Static<typeof VectorsBody>

const Field = Type.Object({
  feature: Type.String(),
  type: Type.Unsafe<VectorField['type']>({ type: 'string', enum: ['float', 'id', 'id_list', 'weighted_id_list'] }),
  default: Type.Unsafe<VectorField['default']>({
    type: ['number', 'string', 'null'],
    description: 'What a model gets where the value is absent; null: it sees that it is absent.',
  }),
  complete_from: CompleteFrom,
})

export const VectorsAnswer = Type.Object({
  schema: Type.String({ description: 'Hash of the layout: equal for equal features.' }),
  features: Type.Array(Field, { description: 'The layout: in the order of their ids, however they were asked for.' }),
  vectors: Type.Array(
    Type.Object({
      values: Type.Array(Value, { description: 'In the order of features.' }),
      snapshots: Type.Array(Type.Integer(), { description: 'Places in snapshots, one for each stage that was asked.' }),
    }),
    { description: 'In the order of the touches.' },
  ),
  snapshots: Type.Array(Type.Object({ stage: Type.String(), ...FACTS }), {
    description: 'Each once, however many vectors are from it.',
  }),
})
export type VectorsAnswer = Static<typeof VectorsAnswer>
