// Reports on scores over HTTP. What is in them: sinks/evaluation-report.ts; rules of requests: sinks/evaluation-format.ts.

import { askOfEvaluation, evaluationAnswer } from '../evaluation-format.ts'
import { EvaluationAnswer, EvaluationQuery } from '../evaluation-schemas.ts'
import type { FeatureReads } from '../feature-reads.ts'
import { isRefusal, withNumbers } from '../read-ask.ts'
import { refusalAnswer } from '../read-format.ts'
import type { App } from './app.ts'
import { checkedInHandler, fail, failures, READ, tell } from './read-routes.ts'

/** Registers the route. */
export function evaluationRoutes(app: App, { reads }: { readonly reads: Pick<FeatureReads, 'evaluation'> }): void {
  const schema = {
    operationId: 'readEvaluation',
    summary: 'How good the scores were that touches got when they came, by day of the touch and by slice',
    querystring: EvaluationQuery,
    response: { 200: EvaluationAnswer, ...failures(400, 404, 410, 422, 429, 503, 504) },
  }
  app.get<{ Querystring: Record<string, unknown> }>(
    '/v1/models/evaluation',
    { schema, config: READ, validatorCompiler: checkedInHandler },
    async ({ query }, reply) => {
      const ask = askOfEvaluation(withNumbers(query))
      if (isRefusal(ask)) return fail(reply, refusalAnswer(ask))
      return tell(reply, evaluationAnswer(await reads.evaluation(ask)))
    },
  )
}
