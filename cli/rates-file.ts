// Rates of currencies, with which a report is summed in one of them: {"to": "EUR", "rates": {"USD": 0.92}}, what one unit of each is worth.
// Without such a table money is never summed over currencies (contract.md, section 6).

import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type { ReadPurchasesAnswer } from '../client/holdfast.ts'
import { HoldfastError } from '../log/errors.ts'
import { parseJson } from './settings.ts'

const check = Compile(
  Type.Object(
    { to: Type.String({ minLength: 1 }), rates: Type.Record(Type.String(), Type.Number({ exclusiveMinimum: 0 })) },
    { additionalProperties: false },
  ),
)

export interface Rates {
  readonly to: string
  readonly rates: Readonly<Record<string, number>>
}

/** Throws USAGE. */
export function readRates(path: string): Rates {
  const value = parseJson(path)
  if (check.Check(value)) return value
  throw new HoldfastError('USAGE', `${path} must be like {"to": "EUR", "rates": {"USD": 0.92}}, each rate above 0`)
}

type Purchases = ReadPurchasesAnswer['purchases'][number]
type Total = ReadPurchasesAnswer['totals'][number]
/** What lines and totals have in common. */
type Sum = Omit<Purchases, 'id' | 'day'>

/** The report with all currencies in one. Throws USAGE where the table has no rate for one. */
export function inOneCurrency(answer: ReadPurchasesAnswer, rates: Rates): ReadPurchasesAnswer {
  const purchases = summed(answer.purchases, ({ day, id }) => JSON.stringify([day, id]), rates)
  purchases.sort((a, b) => a.day - b.day || b.count - a.count || (a.id < b.id ? -1 : 1))
  const totals: Total[] = summed(answer.totals, ({ day }) => String(day), rates)
  // All days are last.
  totals.sort((a, b) => (a.day ?? Number.POSITIVE_INFINITY) - (b.day ?? Number.POSITIVE_INFINITY))
  return { ...answer, purchases, totals }
}

function summed<T extends Sum>(lines: readonly T[], keyOf: (line: T) => string, { to, rates }: Rates): T[] {
  const sums = new Map<string, T>()
  for (const line of lines) {
    const rate = line.currency === to ? 1 : Object.hasOwn(rates, line.currency) ? rates[line.currency]! : null
    if (rate === null) throw new HoldfastError('USAGE', `--rates has none for ${line.currency}, which is in the report`)
    const own = { ...line, ...converted(line, rate, to) }
    const known = sums.get(keyOf(line))
    sums.set(keyOf(line), known === undefined ? own : { ...known, ...together(known, own) })
  }
  return [...sums.values()]
}

function converted({ value, credited_value, taken_back_value, estimate }: Sum, rate: number, currency: string) {
  return {
    ...{ currency, value: value * rate },
    ...{ credited_value: credited_value * rate, taken_back_value: taken_back_value * rate },
    estimate: estimate === null ? null : { ...estimate, value: estimate.value * rate },
  }
}

/** A part of which nothing can be said leaves nothing to say of the whole. Ranges add up as if all came from one error, so they are rather too wide. */
function together(a: Sum, b: Sum): Sum {
  const sum = {
    ...{ currency: a.currency, count: a.count + b.count, value: a.value + b.value },
    ...{ credited: a.credited + b.credited, taken_back: a.taken_back + b.taken_back },
    credited_value: a.credited_value + b.credited_value,
    taken_back_value: a.taken_back_value + b.taken_back_value,
  }
  const states = [a.state, b.state]
  if (states.includes('too_few')) return { ...sum, state: 'too_few', estimate: null }
  if (!states.includes('estimated')) return { ...sum, state: 'mature', estimate: null }
  const [x, y] = [a, b].map(({ estimate, count, value }) => estimate ?? { count, low: count, high: count, value })
  return {
    ...{ ...sum, state: 'estimated' },
    estimate: { count: x!.count + y!.count, low: x!.low + y!.low, high: x!.high + y!.high, value: x!.value + y!.value },
  }
}
