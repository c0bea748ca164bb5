// Reports of purchases over HTTP. What is in them: sinks/purchase-report.ts; rules of requests: sinks/purchase-format.ts.

import type { FeatureReads } from '../feature-reads.ts'
import { askOfPurchases, purchasesAnswer } from '../purchase-format.ts'
import { PurchasesAnswer, PurchasesParams, PurchasesQuery } from '../purchase-schemas.ts'
import { isRefusal, withNumbers } from '../read-ask.ts'
import { refusalAnswer } from '../read-format.ts'
import type { App } from './app.ts'
import { checkedInHandler, fail, failures, READ, tell } from './read-routes.ts'

export interface PurchaseDeps {
  readonly reads: Pick<FeatureReads, 'purchases'>
  /** That of an advertiser's days. */
  timeZoneOf(advertiser: string): string
}

/** Registers the route. */
export function purchaseRoutes(app: App, { reads, timeZoneOf }: PurchaseDeps): void {
  const schema = {
    operationId: 'readPurchases',
    summary: 'What ads, campaigns or an advertiser sold by last touch, by day of the touch, with what is still to come',
    params: PurchasesParams,
    querystring: PurchasesQuery,
    response: { 200: PurchasesAnswer, ...failures(400, 404, 410, 422, 429, 503, 504) },
  }
  app.get<{ Params: { advertiser: string }; Querystring: Record<string, unknown> }>(
    '/v1/purchases/:advertiser',
    { schema, config: READ, validatorCompiler: checkedInHandler },
    async ({ params: { advertiser }, query }, reply) => {
      const ask = askOfPurchases(advertiser, withNumbers(query), timeZoneOf)
      if (isRefusal(ask)) return fail(reply, refusalAnswer(ask))
      return tell(reply, purchasesAnswer(await reads.purchases(ask)))
    },
  )
}
