// Readers that never rest: one key, all movers, a batch as large as is allowed, pages behind the hop; over HTTP and over NATS.
// Each answer goes to read-oracle.ts, key by key.

import type { Random } from '../../cli/generate/random.ts'
import { readSubject } from '../../sinks/nats-reads.ts'
import { KEYS_MAX } from '../../sinks/read-schemas.ts'
import type { Caller } from './callers.ts'
import type { Asked, NodeClient } from './node-client.ts'
import type { Entity, ReadOracle, Said, SnapshotSaid } from './read-oracle.ts'
import type { Growers, Movers } from './units.ts'

const FEATURE = 'page_views_1h'

/** What a reader asks for, and in how many of 100 requests. */
const KINDS = {
  'http point': 40,
  'http movers': 24,
  'http pages': 8,
  'http batch': 3,
  'nats point': 10,
  'nats movers': 10,
  'nats pages': 5,
} as const
export type ReadKind = keyof typeof KINDS

export interface ReadCount {
  requests: number
  /** Keys whose value was checked. */
  keys: number
}

export interface ReaderOptions {
  readonly namespace: string
  readonly client: NodeClient
  readonly oracle: ReadOracle
  readonly movers: Movers
  readonly growers: Growers
  readonly callers: readonly Caller[]
  /** Whether the users' tasks have yet to apply what was in the log when the node opened. */
  readonly isCatchingUp: () => boolean
}

export class Readers {
  readonly counts = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, { requests: 0, keys: 0 }])) as Readonly<
    Record<ReadKind, ReadCount>
  >
  /** Keys read while the node had to catch up after a kill. */
  catchingUp = 0
  readonly #o: ReaderOptions
  readonly #users: readonly string[]
  readonly #pages: readonly string[]

  constructor(options: ReaderOptions) {
    this.#o = options
    const { movers, growers, callers } = options
    const own = [...movers.users.keys, ...callers.map(({ user }) => user)]
    this.#users = [...own, ...growers.users.keys].slice(0, KEYS_MAX)
    this.#pages = [...movers.pages.keys, ...callers.map(({ page }) => page), ...growers.pages.keys]
  }

  get total(): ReadCount {
    const counts = Object.values(this.counts)
    const sum = (of: keyof ReadCount) => counts.reduce((total, count) => total + count[of], 0)
    return { requests: sum('requests'), keys: sum('keys') }
  }

  /** One reader, until it may not go on. */
  async run(random: Random, goesOn: () => boolean): Promise<void> {
    while (goesOn()) await this.#read(kindOf(random.below(100)), random)
  }

  async #read(kind: ReadKind, random: Random): Promise<void> {
    const { oracle, isCatchingUp } = this.#o
    const { entity, keys } = this.#askOf(kind, random)
    const before = oracle.before()
    const isBehind = isCatchingUp()
    const asked = await this.#ask(kind, entity, keys)
    if (asked.kind === 'none') return
    await oracle.check(entity, keys, saidIn(asked.body), before)
    const count = this.counts[kind]
    count.requests++
    count.keys += keys.length
    if (isBehind) this.catchingUp += keys.length
  }

  #askOf(kind: ReadKind, random: Random): { readonly entity: Entity; readonly keys: readonly string[] } {
    const { movers } = this.#o
    if (kind.endsWith('pages')) return { entity: 'page', keys: this.#pages }
    if (kind.endsWith('movers')) return { entity: 'user', keys: movers.users.keys }
    return { entity: 'user', keys: kind === 'http batch' ? this.#users : [random.pick(this.#users)] }
  }

  #ask(kind: ReadKind, entity: Entity, keys: readonly string[]): Promise<Asked> {
    const { client, namespace } = this.#o
    const isPoint = kind.endsWith('point')
    if (kind.startsWith('nats'))
      return client.nats(readSubject(namespace, FEATURE, entity), isPoint ? { key: keys[0] } : { keys })
    const path = `/v1/features/${FEATURE}/${entity}`
    return isPoint ? client.http('GET', `${path}/${keys[0]}`) : client.http('POST', path, JSON.stringify({ keys }))
  }
}

function kindOf(drawn: number): ReadKind {
  let upTo = 0
  for (const [kind, share] of Object.entries(KINDS)) {
    upTo += share
    if (drawn < upTo) return kind as ReadKind
  }
  throw new RangeError('the shares are 100 together')
}

/** The answer for one key has what the one for several says apart. */
function saidIn(body: unknown): Said {
  if ('values' in (body as object)) return body as Said
  const { key, value, ...snapshot } = body as { key: string; value: number } & SnapshotSaid
  return { values: [{ key, value, snapshot: 0 }], snapshots: [snapshot] }
}
