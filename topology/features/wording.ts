// Declarations in words, for people who look for a feature or ask what one is.

import type { Expression } from '../../operators/expression.ts'
import type { CompiledFeature } from './compile.ts'
import {
  type Declarations,
  derivationOf,
  type FeatureDeclaration,
  isContext,
  isDerived,
  isWindowed,
  type LatestAggregate,
  namesOf,
  type WindowedAggregate,
} from './declaration.ts'
import { keyText } from './lineage.ts'

/** `at_most(0, value)`: operations by name, fields and features as they stand, constants as JSON. */
export function expressionText(expression: Expression): string {
  if ('field' in expression) return expression.field
  if ('feature' in expression) return expression.feature
  if ('constant' in expression) return JSON.stringify(expression.constant)
  return `${expression.op}(${expression.args.map(expressionText).join(', ')})`
}

/** `sum of value over conversion where …, in 7d, 28d, by user_id`. */
export function featureText(feature: FeatureDeclaration, declarations: Pick<Declarations, 'entities'>): string {
  if (isContext(feature)) return expressionText(feature.context)
  if (isDerived(feature)) return expressionText(derivationOf(feature))
  const { events, aggregate } = feature
  const where = events.where === undefined ? '' : ` where ${expressionText(events.where)}`
  const when = isWindowed(feature) ? `in ${feature.windows.join(', ')}` : `within ${feature.within}`
  const by = keyText(declarations, feature.entity)
  return `${aggregateText(aggregate)} over ${events.types.join(', ')}${where}, ${when}, by ${by}`
}

/** One value of a feature: that of its own window only. */
export function valueText(
  { name, declaration }: Pick<CompiledFeature, 'name' | 'declaration'>,
  declarations: Pick<Declarations, 'entities'>,
): string {
  if (!isWindowed(declaration)) return featureText(declaration, declarations)
  const window = declaration.windows[namesOf(declaration).indexOf(name)]!
  return featureText({ ...declaration, windows: [window] }, declarations)
}

function aggregateText(aggregate: WindowedAggregate | LatestAggregate): string {
  const of = 'of' in aggregate ? ` of ${expressionText(aggregate.of)}` : ''
  const scale = 'scale' in aggregate ? ` kept in units of 1/${aggregate.scale}` : ''
  const length = 'length' in aggregate ? ` (up to ${aggregate.length})` : ''
  return `${aggregate.fn}${of}${scale}${length}`
}
