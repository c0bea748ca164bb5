// The features part seen from bench/main.ts: the application's declarations on a generated world, through the graph of a node, with
// all rules of the compiled plan, with each rule off in turn, and with none. Each plan runs in a process of its own (feature-run.ts).
// FC1: every plan says the same values; a run that says others fails.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { world } from '../cli/generate/world.ts'
import { pipelines } from '../test/features/pipelines.ts'
import { APPLICATION } from '../topology/features/application.ts'
import { compileFeatures, RULE_NAMES, type RuleName } from '../topology/features/compile.ts'
import { type Declarations, namesOf } from '../topology/features/declaration.ts'
import { type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { type ChildOptions, runChild } from './child.ts'
import type { Sample } from './meter.ts'
import { benchGraph } from './plan.ts'
import { openBroker, publishLines } from './stream.ts'

export interface FeatureTask {
  readonly graph: GraphOptions
  readonly events: number
  /** Of the streams, in events: as many as when they were made. */
  readonly roomEvents: number
  readonly samples: number
  /** Where the server keeps the input, and where the state goes. */
  readonly natsDir: string
  readonly stateDir: string
}

export interface FeatureResult {
  readonly samples: readonly Sample[]
  /** Records that groups looked for in their stores, and records that commits wrote. */
  readonly reads: number
  readonly writes: number
  /** Keys and values of all records, and the files of all tasks with everything else in them, after compaction. */
  readonly recordBytes: number
  readonly fileBytes: number
  /** SHA-256 (hex) of every value of every feature. */
  readonly values: string
}

export interface FeatureCell extends FeatureResult {
  readonly features: number
  readonly events: number
  readonly without: readonly RuleName[]
  /** Records that a key of each entity has, together. */
  readonly groups: number
}

export interface FeatureFigures {
  readonly cells: readonly FeatureCell[]
  readonly compile: { readonly features: number; readonly pipelines: number; readonly ms: number }
}

export interface FeatureOptions extends ChildOptions {
  readonly directory: string
  readonly events: number
  readonly samples: number
  /** The rules that each plan is without; not given: none, each in turn, all. */
  readonly plans?: readonly (readonly RuleName[])[]
  /** Not given: 30 features, then all. */
  readonly sets?: readonly Declarations[]
}

const PROGRAM = new URL(import.meta.resolve('./feature-run.ts'))
const FRAME_EVENTS = 100
/** As busy as a week of a shop: most events are of users, ads and advertisers that came before. */
const EVENTS_PER_USER = 40
const WORLD = {
  pages: 500,
  ads: 200,
  campaigns: 40,
  advertisers: 10,
  days: 28,
  seed: 1,
  speed: 1,
  live: false,
} as const
const START_MS = Date.UTC(2025, 0, 1)

/** What a model of the 30 features reads: users, ads, advertisers and a cross, counts, rates, times since, last ids. */
const THIRTY: ReadonlySet<string> = new Set([
  ...[
    'user.page_views',
    'user.impressions',
    'user.clicks',
    'user.click_rate_7d',
    'user.since_click',
    'user.last_pages',
  ],
  ...['ad.impressions', 'ad.clicks', 'ad.click_rate_7d'],
  ...['advertiser.clicks', 'advertiser.orders', 'advertiser.order_rate_28d'],
  ...['user_advertiser.page_views', 'user_advertiser.since_click'],
])

/** The declarations that are measured: 30 features, and all. */
export const FEATURE_SETS: readonly Declarations[] = [
  { ...APPLICATION, features: APPLICATION.features.filter(({ entity, name }) => THIRTY.has(`${entity}.${name}`)) },
  APPLICATION,
]

/** All rules, each one off, all off. */
const PLANS: readonly (readonly RuleName[])[] = [[], ...RULE_NAMES.map((rule) => [rule]), RULE_NAMES]

/** Runs every plan of every set, and compiles many pipelines. */
export async function featureCells(o: FeatureOptions): Promise<FeatureFigures> {
  const cells: FeatureCell[] = []
  for (const features of o.sets ?? FEATURE_SETS) cells.push(...(await cellsOf(features, o)))
  return { cells, compile: compileTime() }
}

async function cellsOf(features: Declarations, o: FeatureOptions): Promise<FeatureCell[]> {
  const directory = join(o.directory, 'features')
  const natsDir = join(directory, 'nats')
  const graph: GraphOptions = { ...benchGraph(1), features }
  const events = await fill(graph, natsDir, o)
  const count = features.features.flatMap(namesOf).length
  const cells: FeatureCell[] = []
  for (const without of o.plans ?? PLANS) {
    const task: FeatureTask = {
      ...{ graph: { ...graph, without }, events, roomEvents: ROOM * o.events, samples: o.samples },
      ...{ natsDir, stateDir: join(directory, 'state') },
    }
    const result = await runChild<FeatureResult>(PROGRAM, task, o)
    refuseOtherValues(cells[0] ?? result, result, without)
    cells.push({
      ...result,
      features: count,
      events,
      without,
      groups: compileFeatures(features, { without }).groups.length,
    })
    o.say(
      `${count} features, ${planText(without)}: ${result.samples.map(({ seconds }) => seconds.toFixed(1)).join(' ')} s`,
    )
  }
  await rm(directory, { recursive: true, force: true })
  return cells
}

/** FC1. */
export function refuseOtherValues(
  first: Pick<FeatureResult, 'values'>,
  other: Pick<FeatureResult, 'values'>,
  without: readonly RuleName[],
): void {
  if (first.values !== other.values) throw new Error(`${planText(without)}: features have other values`)
}

export function planText(without: readonly RuleName[]): string {
  if (without.length === 0) return 'all rules'
  return without.length === RULE_NAMES.length ? 'no rules' : `without ${without.join(', ')}`
}

/** Gives the number of events, which is about that of the option. */
async function fill(graph: GraphOptions, natsDir: string, { events, signal }: FeatureOptions): Promise<number> {
  const plan = pageViewGraph(graph)
  const broker = await openBroker(natsDir, plan, { events: ROOM * events, durable: false })
  try {
    return await publishLines(broker.log, plan, { lines: linesOf(events), perMessage: FRAME_EVENTS, signal })
  } finally {
    await broker.close()
  }
}
/** Of the room for one event in all streams that the rest of the bench asks for: whole events travel twice without columns. */
const ROOM = 4

function* linesOf(events: number): Generator<string> {
  const users = Math.ceil(events / EVENTS_PER_USER)
  for (const arrivals of world({ ...WORLD, events, users, startMs: START_MS }))
    for (const { text } of arrivals) if (isObject(text)) yield text
}

/** Some lines of a world are no JSON, and one of them would spoil its frame. */
function isObject(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

function compileTime(): FeatureFigures['compile'] {
  const declarations = pipelines()
  const begin = performance.now()
  const { features } = compileFeatures(declarations)
  const ms = performance.now() - begin
  const owners = new Set(declarations.features.map(({ owner }) => owner))
  return { features: features.length, pipelines: owners.size, ms }
}
