// `holdfast query attribution`: who is credited with a conversion and why, from a running node or from the directory of a run or a
// node that has ended; for people or as JSON.
// AQ1: both sources give the same answer, of one format (sinks/attribution-format.ts), and refuse with the same words.

import type { Command } from 'commander'
import type { ReadAttributionAnswer } from '../client/holdfast.ts'
import { HoldfastError } from '../log/errors.ts'
import { spanText } from '../operators/decision-explanation.ts'
import { attributionAnswer } from '../sinks/attribution-format.ts'
import { isKey } from '../sinks/read-ask.ts'
import { attributionInStates } from '../topology/attribution-reads.ts'
import { planOfDirectory, stateOpener } from './inspect-commands.ts'
import { clientOf, commandError, type NodeChoice, nodeOptions } from './node-client.ts'
import { refuseGiven } from './settings.ts'
import { tableLines } from './text-table.ts'

interface AttributionOptions extends NodeChoice {
  readonly dataDir?: string
  readonly wait?: string
  readonly json?: boolean
}

type Attribution = ReadAttributionAnswer['attributions'][number]
type Lane = Attribution['windows'][number]

/** Adds the command, below `query`. */
export function attributionQueryCommand(query: Command): void {
  const command = query
    .command('attribution')
    .description('Who is credited with a conversion, and why.')
    .argument('<conversion>', 'its event_id')
  nodeOptions(command)
    .option('--data-dir <dir>', 'ask the directory of a run or a node that has ended, instead of a running node')
    .option('--wait <position>', 'answer only when <stream>:<seq>.<index> is applied')
    .option('--json', 'print the answer as JSON')
    .action(async (conversion: string, options: AttributionOptions) => {
      if (options.dataDir !== undefined) refuseGiven(command, ['url', 'tokenFile', 'wait'], '--data-dir')
      const answer = await (options.dataDir === undefined
        ? askNode(conversion, options)
        : askDirectory(conversion, options.dataDir))
      process.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : attributionText(answer))
    })
}

async function askNode(conversion: string, options: AttributionOptions): Promise<ReadAttributionAnswer> {
  try {
    return await clientOf(options, process.env).readAttribution(conversion, { wait: options.wait })
  } catch (error) {
    throw commandError(error)
  }
}

async function askDirectory(conversion: string, dataDir: string): Promise<ReadAttributionAnswer> {
  if (!isKey(conversion)) throw new HoldfastError('USAGE', 'an event_id has 1 to 128 bytes without control characters')
  const plan = await planOfDirectory(dataDir)
  const outcome = await attributionInStates(plan, conversion, stateOpener(dataDir))
  const answer = attributionAnswer(outcome)
  if (!('error' in answer)) return answer.body
  const said = `${answer.error.message} (${answer.error.code})`
  throw answer.status >= 500 ? new Error(said) : new HoldfastError('USAGE', said)
}

/** What a person sees. */
export function attributionText({ conversion_id, attributions, more, snapshots }: ReadAttributionAnswer): string {
  const lines = attributions.flatMap((one) => [...oneText(conversion_id, one), ''])
  if (more) lines.push('there are more conversions of this id: these are the newest', '')
  for (const { complete_through, applied_through, epoch } of snapshots) {
    const through = complete_through === null ? 'nothing yet' : timeText(complete_through)
    lines.push(`complete through ${through} · applied through ${applied_through} · commit ${epoch}`)
  }
  return `${lines.join('\n')}\n`
}

function oneText(id: string, one: Attribution): string[] {
  const { type, user_id, advertiser_id, order_id, value, currency, event_time, late, revision } = one
  const further = [
    ...(order_id === null ? [] : [`order ${order_id}`]),
    ...(value === null ? [] : [currency === null ? `value ${value}` : `${value} ${currency}`]),
    ...(late ? ['late'] : []),
    ...(revision === 0 ? [] : [`said anew ${revision} times, as touches came late`]),
  ]
  const { touches, touches_total, windows, windows_left_out } = one
  return [
    [`${type} ${id} of ${user_id} for ${advertiser_id}`, timeText(event_time), ...further].join(' · '),
    `  whose: ${one.owner_why}`,
    `  ${one.outcome === 'credited' ? 'credited' : 'not credited'}: ${one.outcome_why}`,
    ...(touches.length === 0
      ? []
      : tableLines(['  TOUCH', 'TYPE', 'AT', 'BEFORE', 'AD', 'CAMPAIGN', 'CLICK_ID'], touches.map(touchCells))),
    ...(touches.length === touches_total ? [] : [`  and ${touches_total - touches.length} more, which are not kept`]),
    ...windows.flatMap((lane) => laneText(lane, touches)),
    ...(windows_left_out === 0 ? [] : [`  and ${windows_left_out} more windows, for which there is no room`]),
  ]
}

function touchCells({
  touch_id,
  type,
  event_time,
  age_ms,
  ad_id,
  campaign_id,
  has_click_id,
}: Attribution['touches'][number]) {
  return [
    `  ${touch_id}`,
    type,
    timeText(event_time),
    spanText(age_ms),
    ad_id,
    campaign_id,
    has_click_id ? 'the same' : '-',
  ]
}

/** Touches that are named for one reason, where many are out for the same. */
const NAMED_MAX = 5

function laneText({ goal, window, rule, touches: standings, models }: Lane, touches: Attribution['touches']): string[] {
  const name = (place: number): string => touches[place]!.touch_id
  const credits = models.flatMap(({ model, credits, known }) => {
    if (!known) return [[`    ${model}`, '?', '-', 'some of its candidates are not kept']]
    if (credits.length === 0) return [[`    ${model}`, '-', '-', 'nobody: there is no candidate']]
    return credits.map(({ touch, credit, how }) => [`    ${model}`, name(touch), String(credit), how])
  })
  const outs = Map.groupBy(
    standings.filter(({ out }) => out !== null),
    ({ why }) => why,
  )
  return [
    '',
    `  ${goal === null ? '' : `${goal} · `}${window}: ${rule}`,
    ...tableLines(['    MODEL', 'TOUCH', 'CREDIT', 'HOW'], credits),
    ...[...outs].map(([why, all]) => {
      const named = all.slice(0, NAMED_MAX).map(({ touch }) => name(touch))
      const rest = all.length > named.length ? ` and ${all.length - named.length} more` : ''
      return `    not ${named.join(', ')}${rest}: ${why}`
    }),
  ]
}

const timeText = (ms: number): string => new Date(ms).toISOString()
