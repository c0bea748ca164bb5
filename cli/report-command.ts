// `holdfast report purchases`: what an advertiser's ads sold, by day of touches, from a running node or from the directory of a run or
// a node that has ended; as a table, as JSON, and as a picture.
// RP1: both sources give the same answer, of one format (sinks/purchase-format.ts), and refuse with the same words.
// What the table says is in cli/purchases-text.ts, the picture in cli/purchases-picture.ts.

import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { ReadPurchasesAnswer } from '../client/holdfast.ts'
import { HoldfastError } from '../log/errors.ts'
import { PURCHASE_LEVELS, type PurchaseLevel } from '../operators/purchase-tiles.ts'
import { askOfPurchases, purchasesAnswer } from '../sinks/purchase-format.ts'
import { REPORT_DAYS_DEFAULT } from '../sinks/purchase-reads.ts'
import { isRefusal } from '../sinks/read-ask.ts'
import { purchasesInStates } from '../topology/purchase-reads.ts'
import { readShape } from './data-directory.ts'
import { planOfDirectory, stateOpener } from './inspect-commands.ts'
import { clientOf, commandError, type NodeChoice, nodeOptions } from './node-client.ts'
import { purchasesPicture } from './purchases-picture.ts'
import { purchasesText } from './purchases-text.ts'
import { inOneCurrency, readRates } from './rates-file.ts'
import { refuseGiven, timeZoneOf } from './settings.ts'

/** What is asked, in the names of the route's parameters. */
interface Query {
  readonly by?: PurchaseLevel
  readonly window?: string
  readonly goal?: string
  readonly from?: string
  readonly to?: string
  readonly time_zone?: string
  readonly wait?: string
}

interface ReportOptions extends NodeChoice, Omit<Query, 'time_zone'> {
  readonly dataDir?: string
  readonly timeZone?: string
  readonly rates?: string
  readonly svg?: string
  readonly json?: boolean
}

/** Adds the command. */
export function reportCommand(program: Command): void {
  const report = program.command('report').description('Reports of what Holdfast keeps.')
  const command = report
    .command('purchases')
    .description('What ads sold by last touch, by day of the touch, with what is still to come.')
    .argument('<advertiser>', 'its advertiser_id')
  nodeOptions(command)
    .option('--data-dir <dir>', 'ask the directory of a run or a node that has ended, instead of a running node')
    .option('--by <level>', `for whom: ${PURCHASE_LEVELS.join(', ')} (default: advertiser)`)
    .option('--window <name>', 'of attribution (default: the first that is configured)')
    .option('--goal <name>', 'where goals are declared')
    .option('--from <date>', 'first day of touches, like 2026-03-29')
    .option('--to <date>', `last day (default: today; ${REPORT_DAYS_DEFAULT} days up to it)`)
    .option('--time-zone <name>', "of the days (default: the advertiser's in the configuration, or UTC)")
    .option('--rates <file>', 'sum in one currency: {"to": "EUR", "rates": {"USD": 0.92}} (default: a table for each)')
    .option('--wait <position>', 'answer only when <stream>:<seq>.<index> is applied')
    .option('--svg <file>', 'write it as a picture, too')
    .option('--json', 'print it as JSON')
    .action(async (advertiser: string, options: ReportOptions) => {
      if (options.dataDir !== undefined) refuseGiven(command, ['url', 'tokenFile', 'wait'], '--data-dir')
      process.stdout.write(await reportText(advertiser, options))
    })
}

async function reportText(advertiser: string, options: ReportOptions): Promise<string> {
  const { by, window, goal, from, to, timeZone: time_zone, wait, rates: file, svg, json } = options
  const rates = file === undefined ? null : readRates(file)
  const query = given({ by, window, goal, from, to, time_zone, wait })
  const { dataDir } = options
  const answer = await (dataDir === undefined
    ? askNode(advertiser, query, options)
    : askDirectory(advertiser, query, dataDir))
  const told = rates === null ? answer : inOneCurrency(answer, rates)
  if (svg !== undefined) writePicture(svg, told)
  return json === true ? `${JSON.stringify(told)}\n` : purchasesText(told)
}

/** Without what was not said: a parameter that is there has a value. */
const given = (query: { readonly [K in keyof Query]: Query[K] | undefined }): Query =>
  Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined))

async function askNode(advertiser: string, query: Query, options: ReportOptions): Promise<ReadPurchasesAnswer> {
  try {
    return await clientOf(options, process.env).readPurchases(advertiser, query)
  } catch (error) {
    throw commandError(error)
  }
}

async function askDirectory(advertiser: string, query: Query, dataDir: string): Promise<ReadPurchasesAnswer> {
  const { config } = await readShape(dataDir)
  const ask = askOfPurchases(advertiser, { ...query }, (of) => timeZoneOf(config, of))
  if (isRefusal(ask)) throw new HoldfastError('USAGE', `${ask.message} (${ask.code})`)
  const answer = purchasesAnswer(await purchasesInStates(await planOfDirectory(dataDir), ask, stateOpener(dataDir)))
  if (!('error' in answer)) return answer.body
  const said = `${answer.error.message} (${answer.error.code})`
  throw answer.status >= 500 ? new Error(said) : new HoldfastError('USAGE', said)
}

function writePicture(file: string, answer: ReadPurchasesAnswer): void {
  try {
    writeFileSync(file, purchasesPicture(answer))
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot write ${file}: ${(error as Error).message}`)
  }
}
