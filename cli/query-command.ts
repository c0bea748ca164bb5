// `holdfast query`: values of a feature, read from a running node, as a small table or as the node's JSON; and what a value is
// made of (--explain). Attributions of conversions: cli/attribution-query.ts.

import type { Command } from 'commander'
import type { ExplainFeatureAnswer, HoldfastClient, ReadFeaturesAnswer } from '../client/holdfast.ts'
import { ApiError } from '../client/transport.ts'
import { HoldfastError } from '../log/errors.ts'
import { KEYS_MAX } from '../sinks/read-schemas.ts'
import { attributionQueryCommand } from './attribution-query.ts'
import { clientOf, commandError, type NodeChoice, nodeOptions } from './node-client.ts'
import { tableLines } from './text-table.ts'
import { timeMs } from './time-argument.ts'

interface QueryOptions extends NodeChoice {
  /** Milliseconds. */
  readonly at?: number
  readonly wait?: string
  readonly explain?: true
  readonly json?: boolean
}

/** Adds the command. */
export function queryCommand(program: Command): void {
  // Options behind `query attribution` are its own, though `query` has some of the same names.
  const command = program
    .enablePositionalOptions()
    .command('query')
    .description('Read the values of a feature from a running node.')
    .argument('<feature>', 'like page_views_1h')
    .argument('<entity>', 'like page')
    .argument('<key...>', `one key or more, up to ${KEYS_MAX}`)
  attributionQueryCommand(command)
  nodeOptions(command)
    .option('--at <time>', 'event time to answer for: milliseconds since 1970, or like 2026-01-31T12:00:00Z', (text) =>
      timeMs('--at', text),
    )
    .option('--wait <position>', 'answer only when <stream>:<seq>.<index> is applied')
    .option('--explain', 'what the value of one key is made of: panes, events of lists, values that it is computed of')
    .option('--json', 'print the answer of the node as JSON')
    .action(async (feature: string, entity: string, keys: string[], options: QueryOptions) => {
      process.stdout.write(await query(feature, entity, keys, options))
    })
}

async function query(feature: string, entity: string, keys: readonly string[], options: QueryOptions): Promise<string> {
  if (keys.length > KEYS_MAX) throw new HoldfastError('USAGE', `at most ${KEYS_MAX} keys at once, not ${keys.length}`)
  if (options.explain === true && keys.length !== 1) throw new HoldfastError('USAGE', '--explain takes one key')
  const client = clientOf(options, process.env)
  const { at, wait } = options
  try {
    if (options.explain === true) {
      const answer = await client.explainFeature(feature, entity, keys[0]!, { at, wait })
      return options.json === true ? `${JSON.stringify(answer)}\n` : explanationText(answer)
    }
    const answer = await client.readFeatures(feature, entity, { keys, at, wait })
    return options.json === true ? `${JSON.stringify(answer)}\n` : queryText(answer)
  } catch (error) {
    throw await withAdvice(error, client)
  }
}

/** The error of the command, and what the node knows that would help. */
async function withAdvice(error: unknown, client: HoldfastClient): Promise<unknown> {
  const said = commandError(error)
  if (!(error instanceof ApiError)) return said
  if (error.code === 'NOT_HELD') {
    const heldFrom = error.details.held_from as number
    return new HoldfastError(
      'USAGE',
      `this time is not held any more: --at ${heldFrom} (${timeText(heldFrom)}) is the earliest`,
    )
  }
  if (error.code === 'NOT_REACHED')
    return new Error(`not applied in time; the node has applied ${error.details.reached}`)
  if (error.code !== 'UNKNOWN_FEATURE') return said
  const { features } = await client.listFeatures()
  const known = features.map(({ feature, entity }) => `${feature} ${entity}`).join(', ')
  return new HoldfastError('USAGE', `no such feature of such an entity; this node has: ${known}`)
}

/** What a person sees. */
export function queryText({
  feature,
  entity,
  type,
  window_ms,
  mode,
  pane_ms,
  complete_from,
  values,
  snapshots,
}: ReadFeaturesAnswer): string {
  const window = window_ms === null ? type : `window ${window_ms / 1_000} s`
  const exactness = pane_ms === null ? '' : mode === 'exact' ? ' · exact' : ` · panes of ${pane_ms / 1_000} s`
  return `${[
    `${feature} by ${entity} · ${window}${exactness}`,
    ...tableLines(
      ['KEY', 'VALUE'],
      values.map(({ key, value }) => [key, valueText(value)]),
    ),
    ...(complete_from === 0 ? [] : [`declared later: ${incompleteText(complete_from)}`]),
    ...snapshots.map(snapshotText),
  ].join('\n')}\n`
}

/** What a person sees of how a value came about. */
export function explanationText(answer: ExplainFeatureAnswer): string {
  const { key, values } = answer
  const lines = values.flatMap((one) => [
    `${one.feature} of ${key} = ${valueText(one.value)}${one.value === null && one.default !== null ? `, by default ${one.default}` : ''}`,
    `  ${one.how}`,
    ...(one.from === null ? [] : [`  from ${timeText(one.from)} to before ${timeText(one.to)}`]),
    ...(one.panes.length === 0 ? [] : tableLines(['  PANE FROM', 'WIDTH', 'WHAT IS IN IT'], one.panes.map(paneCells))),
    ...(one.entries.length === 0
      ? []
      : tableLines(['  EVENT AT', 'TYPE', 'EVENT_ID', 'VALUE'], one.entries.map(entryCells))),
    ...(one.complete ? [] : ['  and older panes, which are not shown']),
    '',
  ])
  return `${[...lines, snapshotText(answer)].join('\n')}\n`
}

type Explained = ExplainFeatureAnswer['values'][number]

function paneCells({ start, width_ms, parts }: Explained['panes'][number]): string[] {
  const what = parts.map(({ what, value, ids }) => {
    const named = ids.map(({ id, times }) => (times === null ? id : `${id} x ${times}`))
    return `${what} ${value}${named.length === 0 ? '' : ` (${named.join(', ')})`}`
  })
  return [`  ${timeText(start)}`, `${width_ms / 60_000} min`, what.join(', ')]
}

function entryCells({ event_time, type, event_id, value }: Explained['entries'][number]): string[] {
  return [`  ${timeText(event_time)}`, type, event_id, String(value)]
}

function snapshotText({
  at,
  complete_through,
  applied_through,
  epoch,
}: ReadFeaturesAnswer['snapshots'][number]): string {
  return `at ${timeText(at)} · complete through ${timeText(complete_through)} · applied through ${applied_through} · commit ${epoch}`
}

/** Of a feature that was not kept from the beginning. */
function incompleteText(completeFrom: number | null): string {
  return completeFrom === null ? 'not known yet from when it is complete' : `complete from ${timeText(completeFrom)}`
}

function valueText(value: ReadFeaturesAnswer['values'][number]['value']): string | number {
  if (value === null) return 'absent'
  return typeof value === 'object'
    ? value.map((one) => (typeof one === 'string' ? one : one.join(' x '))).join(', ')
    : value
}

function timeText(ms: number | null): string {
  return ms === null ? 'no time yet' : new Date(ms).toISOString()
}
