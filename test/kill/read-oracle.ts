// O8 of reliability.md on answers of a node that is killed under load: what each must say, given what is in the log.
// RO1: keys of one task are answered from one snapshot, and it holds exactly a prefix of the log: no part of a commit, no
//      commit without its position. What the prefix comes to is known (units.ts).
// RO2: no answer is older than one that had come before it was asked for: epoch and position of a task never go back, also
//      not over a kill, which takes nothing from what RocksDB was given (reliability.md, D10).
// RO3: a caller's own writes are there once it waited for them, for it and for everybody (callers.ts).
// Who asks is in readers.ts.

import { parsePosition } from '../../sinks/feature-reads.ts'
import { stageStream } from '../../topology/plan.ts'
import type { Caller } from './callers.ts'
import type { Finding } from './trial.ts'
import { type Growers, type Movers, PARTITIONS, UNITS } from './units.ts'

export type Entity = 'user' | 'page'
const STAGES: Readonly<Record<Entity, string>> = { user: 'user-1', page: 'pages' }
/** Findings that are kept: one is enough, some help to see which. */
const FINDINGS_MAX = 20

/** What the read API says of a snapshot. */
export interface SnapshotSaid {
  readonly as_of: number
  readonly applied_through: string
  readonly epoch: number
}

/** Values in the order of the keys, each with the place of its snapshot. */
export interface Said {
  readonly values: readonly { readonly key: string; readonly value: number; readonly snapshot: number }[]
  readonly snapshots: readonly SnapshotSaid[]
}

/** How far a task was seen to be. */
interface Seen {
  readonly epoch: number
  readonly seq: number
  /** Growers' events in the counts of its pages. */
  readonly grown: number
}

/** What was known when a read was asked for. */
export interface Before {
  readonly seen: ReadonlyMap<string, Seen>
  readonly counted: readonly number[]
}

const NOTHING_SEEN: Seen = { epoch: 0, seq: 0, grown: 0 }

interface Part {
  readonly entity: Entity
  readonly partition: number
  readonly said: SnapshotSaid
  readonly values: Said['values']
}

export class ReadOracle {
  readonly findings: Finding[] = []
  /** Answers in which the movers' keys held all their units between them. */
  moving = 0
  readonly #namespace: string
  readonly #movers: Movers
  readonly #growers: Growers
  readonly #callers: readonly Caller[]
  /** By stream. Replaced as a whole: who asks keeps the one that was. */
  #seen: ReadonlyMap<string, Seen> = new Map()

  constructor(namespace: string, movers: Movers, growers: Growers, callers: readonly Caller[]) {
    this.#namespace = namespace
    this.#movers = movers
    this.#growers = growers
    this.#callers = callers
  }

  find(text: string, oracle = 'O8'): void {
    if (this.findings.length < FINDINGS_MAX) this.findings.push({ oracle, text })
  }

  /** To be taken before the request is sent. */
  before(): Before {
    return { seen: this.#seen, counted: this.#callers.map(({ confirmed }) => confirmed) }
  }

  /** How far into a partition the users' task was seen to be. */
  appliedOf(partition: number): number {
    return this.#seen.get(stageStream(this.#namespace, STAGES.user, partition))?.seq ?? 0
  }

  /** Looks at an answer; what the log had of it must be known first, which takes until the acks are there. */
  async check(entity: Entity, keys: readonly string[], said: Said, before: Before): Promise<void> {
    const attempted = this.#callers.map(({ attempted }) => attempted)
    // An event that is in a snapshot was sent before the answer came.
    await Promise.all([this.#movers, this.#growers].map((feed) => feed.settled(feed.sent)))
    if (said.values.length !== keys.length || said.values.some(({ key }, i) => key !== keys[i]))
      return this.find(`${said.values.length} values for ${keys.length} keys, or not in their order`)
    for (const part of this.#parts(entity, said)) this.#checkPart(part, before)
    for (const { key, value } of said.values) {
      const i = this.#callers.findIndex(({ user, page }) => key === (entity === 'user' ? user : page))
      if (i !== -1 && (value < before.counted[i]! || value > attempted[i]!))
        this.find(`${key} is ${value}: ${before.counted[i]} were confirmed before, ${attempted[i]} sent by then`)
    }
  }

  /** The values of each task with their one snapshot. */
  #parts(entity: Entity, { values, snapshots }: Said): Part[] {
    const parts: Part[] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const own = values.filter(({ key }) => this.#partitionOf(key) === partition)
      if (own.length === 0) continue
      const [one, ...others] = new Set(own.map(({ snapshot }) => snapshot))
      if (others.length > 0) this.find(`keys of ${entity} ${partition} come from ${others.length + 1} snapshots`)
      parts.push({ entity, partition, said: snapshots[one!]!, values: own })
    }
    return parts
  }

  #partitionOf(key: string): number {
    return this.#movers.users.has(key) || this.#movers.pages.has(key) ? 0 : 1
  }

  #checkPart(part: Part, before: Before): void {
    const { entity, partition, said } = part
    const stream = stageStream(this.#namespace, STAGES[entity], partition)
    const position = parsePosition(said.applied_through)
    if (position === null || position.stream !== stream) {
      this.find(`${stream}: applied through ${said.applied_through}`)
      return
    }
    const { seq, index } = position
    const grown = partition === 1 && entity === 'page' ? this.#grownPages(part) : 0
    const was = before.seen.get(stream) ?? NOTHING_SEEN
    if (said.epoch < was.epoch || seq < was.seq || (said.epoch === was.epoch && seq !== was.seq))
      this.find(`${stream}: epoch ${said.epoch} at ${seq} after epoch ${was.epoch} at ${was.seq}`)
    if (grown > 0 && grown < was.grown) this.find(`${stream}: ${grown} events in its pages after ${was.grown}`)
    const newest = this.#seen.get(stream) ?? NOTHING_SEEN
    if (said.epoch >= newest.epoch) {
      const now = { epoch: said.epoch, seq, grown: Math.max(grown, newest.grown) }
      this.#seen = new Map(this.#seen).set(stream, now)
    }
    // Every message of the users' streams is one event: at -1 it is not applied yet.
    const applied = index < 0 ? seq - 1 : seq
    if (partition === 0) this.#checkMovers(part, applied)
    else if (entity === 'user') this.#checkGrowers(part, applied)
  }

  /** By the position for users; by the time for pages, whose position is one behind the hop. */
  #checkMovers({ entity, said, values }: Part, seq: number): void {
    const movers = this.#movers
    const turns = entity === 'user' ? movers.users : movers.pages
    const applied = entity === 'user' ? movers.through(seq) : Math.min(movers.sent, movers.until(said.as_of))
    for (const { key, value } of values) {
      const expected = movers.inHour(turns, key, applied, said.as_of)
      if (value !== expected)
        this.find(`${key} is ${value}, not ${expected}, at epoch ${said.epoch}, ${said.applied_through}`)
    }
    if (values.length < turns.keys.length || applied < UNITS) return
    const sum = values.reduce((total, { value }) => total + value, 0)
    if (sum === UNITS) this.moving++
  }

  #checkGrowers({ said, values }: Part, seq: number): void {
    const { users } = this.#growers
    const applied = this.#growers.through(seq)
    for (const { key, value } of values) {
      if (!users.has(key)) continue
      const expected = users.count(key, 0, applied)
      if (value !== expected)
        this.find(`${key} is ${value}, not ${expected}, at epoch ${said.epoch}, ${said.applied_through}`)
    }
  }

  /** How many events all of the growers' pages count: it tells what each of them must count. 0: not all were asked for. */
  #grownPages({ said, values }: Part): number {
    const { pages } = this.#growers
    const own = values.filter(({ key }) => pages.has(key))
    if (own.length < pages.keys.length) return 0
    const applied = own.reduce((total, { value }) => total + value, 0)
    for (const { key, value } of own) {
      const expected = pages.count(key, 0, applied)
      if (value !== expected) this.find(`${key} is ${value}, not ${expected} of ${applied}, at epoch ${said.epoch}`)
    }
    return applied
  }
}
