// What is done to one run, drawn from a seed and a number: which blows, at which moments, under which settings.
// SC1: the same seed and number give the same scenario. Blows by time hit where the machine's speed lets them.

import { Random } from '../../cli/generate/random.ts'

export const POINTS = ['K0', 'K1', 'K2', 'K3', 'K4', 'K5', 'K6', 'K7', 'K11'] as const
/** Of a trainer's commit with a version: between its file and its frames, and after them. */
export const MODEL_POINTS = ['K16', 'K17'] as const
export type Point = (typeof POINTS | typeof MODEL_POINTS)[number]
/** node: SIGKILL of the run at a random time. broker: of its nats-server, which it must survive. both: of both at once. */
export const RANDOM_KINDS = ['node', 'broker', 'both'] as const
export type Kind = Point | (typeof RANDOM_KINDS)[number]

export type Blow =
  /** `orShare`: where the point is not passed any more, at that time. Not given: then it misses. */
  | { readonly kind: Point; readonly kill: string; readonly orShare?: number }
  /** `share`: of the time that an undisturbed run takes. */
  | { readonly kind: (typeof RANDOM_KINDS)[number]; readonly share: number }

/** Speed settings of a run; results may not depend on them. */
export interface Tuning {
  readonly commitRecords: number
  readonly sliceRecords: number
}

export const TUNINGS: readonly Tuning[] = [
  { commitRecords: 80, sliceRecords: 7 },
  { commitRecords: 400, sliceRecords: 128 },
  // The burst of the input in one commit, whatever the speed of the machine: several batches (K3).
  { commitRecords: 20_000, sliceRecords: 4_096 },
]

export interface Scenario {
  readonly number: number
  readonly tuning: Tuning
  /** A server of the run's own, which dies with it, or one that outlives it and takes what was on its way. */
  readonly broker: 'own' | 'outside'
  /** The second and third hit the restarts (F3 of reliability.md). */
  readonly blows: readonly Blow[]
}

/** How often an undisturbed run of a tuning passed each point. */
export type Hits = Readonly<Record<string, number>>

const EARLY_HITS = 10
/** The last hits are left out: how many there are depends on timing. */
const HITS_SHARE = 0.5
const K6_SPREAD_US = 300
const K11_SPREAD_US = 40_000

/** `kinds`: which blows come first, in turn. */
export function scenarioOf(seed: number, number: number, kinds: readonly Kind[], hits: readonly Hits[]): Scenario {
  const random = new Random(seed * 1_000_003 + number)
  const kind = kinds[number % kinds.length]!
  const possible = TUNINGS.filter((_, i) => isRandom(kind) || hitsOf(kind, hits[i]!) > 0)
  const tuning = possible.length === 0 ? TUNINGS[0]! : random.pick(possible)
  const first = blowOf(kind, hits[TUNINGS.indexOf(tuning)]!, random)
  const blows = [first]
  // In recovery little is left to do, so that only the first hits are sure to be reached.
  while (blows.length < 3 && random.chance(0.4)) blows.push(blowOf(random.pick([...POINTS, 'node']), {}, random))
  const needsOwn = kind === 'broker' || kind === 'both'
  return { number, tuning, broker: needsOwn || random.chance(0.4) ? 'own' : 'outside', blows }
}

export function describe({ number, tuning, broker, blows }: Scenario): string {
  const what = blows.map((blow) => ('kill' in blow ? blow.kill : `${blow.kind}@${blow.share.toFixed(2)}`)).join(', ')
  return `case ${number}: ${what}; ${broker} broker, commits of ${tuning.commitRecords}, slices of ${tuning.sliceRecords}`
}

function isRandom(kind: Kind): kind is (typeof RANDOM_KINDS)[number] {
  return (RANDOM_KINDS as readonly string[]).includes(kind)
}

/** K11 happens at a commit. */
function hitsOf(point: Point, hits: Hits): number {
  return hits[point === 'K11' ? 'K2' : point] ?? 0
}

function blowOf(kind: Kind, hits: Hits, random: Random): Blow {
  // What comes before is spent starting, what comes after with writing the results.
  if (isRandom(kind)) return { kind, share: 0.35 + 0.55 * random.next() }
  const latest = Math.max(1, Math.floor(hitsOf(kind, hits) * HITS_SHARE))
  const hit = 1 + random.below(random.chance(0.3) ? Math.min(EARLY_HITS, latest) : latest)
  const spreadUs = kind === 'K6' ? K6_SPREAD_US : kind === 'K11' ? K11_SPREAD_US : 0
  const delay = spreadUs === 0 ? '' : `+${random.below(spreadUs)}`
  return { kind, kill: `${kind}:${hit}${delay}` }
}
