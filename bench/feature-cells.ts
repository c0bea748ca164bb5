// The features part seen from bench/main.ts: the application's declarations on a generated world, through the graph of a node, with
// all rules of the compiled plan, with each rule off in turn, and with none. Each plan runs in a process of its own (feature-run.ts).
// FC1: every plan says the same values; a run that says others fails.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { world } from '../cli/generate/world.ts'
import { pipelines } from '../test/features/pipelines.ts'
import { APPLICATION } from '../topology/features/application.ts'
import { compileFeatures, RULE_NAMES, type RuleName } from '../topology/features/compile.ts'
import { CONTEXT, type Declarations, featureId, namesOf } from '../topology/features/declaration.ts'
import { type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { type ChildOptions, runChild } from './child.ts'
import type { Sample } from './meter.ts'
import { benchGraph } from './plan.ts'
import { openBroker, publishLines } from './stream.ts'

export interface FeatureTask {
  /** One graph, or several that each read the whole input by themselves, one after the other; what they cost is added up. */
  readonly graphs: readonly GraphOptions[]
  /** With all features: what the streams were made for. */
  readonly whole: GraphOptions
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
  /** What is measured. */
  readonly plan: string
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
  /** Not given: all that there are. */
  readonly plans?: readonly MeasuredPlan[]
  /** Not given: 30 features, then all. */
  readonly sets?: readonly Declarations[]
}

const PROGRAM = new URL(import.meta.resolve('./feature-run.ts'))
const FRAME_EVENTS = 100
/** As busy as a week of a shop: most events are of users, ads and advertisers that came before. */
export const EVENTS_PER_USER = 40
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

/** Compiled without these rules, or a graph of its own for each feature, without any. */
export type MeasuredPlan = readonly RuleName[] | 'apart'
/** All rules, each one off, all off, and then not even the source is shared. */
const PLANS: readonly MeasuredPlan[] = [[], ...RULE_NAMES.map((rule) => [rule]), RULE_NAMES, 'apart']
/** It decides which one feature a graph has. */
const APART = RULE_NAMES.filter((rule) => rule !== 'prune')

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
  const ids = features.features.flatMap((one) => namesOf(one).map((name) => featureId(one.entity, name)))
  const cells: FeatureCell[] = []
  for (const plan of o.plans ?? PLANS) {
    const graphs = graphsOf(graph, plan, ids)
    const task: FeatureTask = {
      ...{ graphs, whole: graph, events, roomEvents: ROOM * o.events, samples: o.samples },
      ...{ natsDir, stateDir: join(directory, 'state') },
    }
    const result = await runChild<FeatureResult>(PROGRAM, task, o)
    refuseOtherValues(cells[0] ?? result, result, plan)
    const groups = graphs.flatMap((one) => compileFeatures(features, one).groups).length
    cells.push({ ...result, features: ids.length, events, plan: planText(plan), groups })
    o.say(
      `${ids.length} features, ${planText(plan)}: ${result.samples.map(({ seconds }) => seconds.toFixed(1)).join(' ')} s`,
    )
  }
  await rm(directory, { recursive: true, force: true })
  return cells
}

function graphsOf(graph: GraphOptions, plan: MeasuredPlan, ids: readonly string[]): GraphOptions[] {
  if (plan !== 'apart') return [{ ...graph, without: plan }]
  // What is of the touch itself is kept by nobody.
  const kept = ids.filter((id) => !id.startsWith(`${CONTEXT}.`))
  return kept.map((id) => ({ ...graph, served: [id], without: APART }))
}

/** FC1. */
export function refuseOtherValues(
  first: Pick<FeatureResult, 'values'>,
  other: Pick<FeatureResult, 'values'>,
  plan: MeasuredPlan,
): void {
  if (first.values !== other.values) throw new Error(`${planText(plan)}: features have other values`)
}

function planText(plan: MeasuredPlan): string {
  if (plan === 'apart') return 'a graph for each'
  if (plan.length === 0) return 'all rules'
  return plan.length === RULE_NAMES.length ? 'no rules' : `without ${plan.join(', ')}`
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
export function isObject(text: string): boolean {
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
