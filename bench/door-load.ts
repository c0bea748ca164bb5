// A program that door-cells.ts starts: the load on the front door of a node in another process, and how long each answer took.
// DL1: an answer counts only where it says what it must: every event taken, a value and not an error, a published event shown.
// DL2: users and pages are those that were written, so every read finds a bucket; the first measurement writes them.

import { connect, type NatsConnection } from 'nats'
import { readSubject } from '../sinks/nats-reads.ts'
import { serveParent } from './child.ts'
import type { DoorCell, DoorTask } from './door-cells.ts'
import { HttpConnections, requestBytes } from './http-connections.ts'
import { cpuSecondsOf } from './meter.ts'
import { caughtUp } from './node-process.ts'
import { closedLoad, type Deed, openLoad, type Paced } from './pace.ts'

const FEATURE = 'page_views_1h'
const USERS = 50_000
const PAGES = 2_000
/** Knuth's multiplier: spreads what is numbered one after the other over all users. */
const STRIDE = 2_654_435_761
const BATCH_EVENTS = 100
const BATCH_KEYS = 100
/**
 * Connections of readers, and as many of writers: more than are ever busy at the rates that are kept, or what is measured is the wait
 * for one of them (a node that takes 30 ms while 7,000 a second come has 200 requests under way).
 */
const CONNECTIONS = 256
/** Readers at once where as many read as can: the node is never without a request, and batches are of what comes meanwhile. */
const READ_ASKERS = 32
/** Batches under way at once where as many are sent as are taken. */
const INGEST_ASKERS = 16
const BATCH_ASKERS = 8
/** The rates that the third issue names. */
const LIVE_EVENTS_PER_S = 20_000
const READS_PER_S = 10_000
/** Single events that are followed from their publication to an answer that shows them. */
const PROBES_PER_S = 50
/** Share of each measurement that is done once before, unmeasured: code is compiled then. */
const WARM_UP = 0.4

class DoorLoad {
  readonly #task: DoorTask
  readonly #say: (line: string) => void
  readonly #readers: HttpConnections
  readonly #writers: HttpConnections
  readonly #nc: NatsConnection
  #events = 0
  #reads = 0
  #probes = 0

  constructor(task: DoorTask, say: (line: string) => void, nc: NatsConnection) {
    this.#task = task
    this.#say = say
    this.#readers = new HttpConnections(task.url, CONNECTIONS)
    this.#writers = new HttpConnections(task.url, CONNECTIONS)
    this.#nc = nc
  }

  close(): void {
    this.#readers.close()
    this.#writers.close()
  }

  async run(): Promise<DoorCell[]> {
    const cells: DoorCell[] = []
    const add = async (cell: Promise<DoorCell>): Promise<number> => {
      cells.push(await cell)
      const { name, done, seconds } = cells.at(-1)!
      this.#say(`${name}: ${Math.round(done / seconds).toLocaleString('en-US')} a second`)
      return done / seconds
    }
    const batches = await add(this.#closed('ingest, batches of 100', BATCH_EVENTS, INGEST_ASKERS, this.#ingest))
    await caughtUp(this.#readers)
    await add(this.#readable('user'))
    await add(this.#readable('page'))
    const points = await add(this.#closed('point reads', 1, READ_ASKERS, this.#point))
    const manys = await add(this.#closed('reads of 100 keys', 1, BATCH_ASKERS, this.#many))
    await add(this.#closed('point reads over NATS', 1, READ_ASKERS, this.#pointOverNats))
    await add(this.#open('point reads', points / 2, this.#point))
    await add(this.#open('reads of 100 keys', manys / 2, this.#many))
    await add(this.#open('point reads', READS_PER_S, this.#point))
    const half = batches / BATCH_EVENTS / 2
    const name = `point reads, beside ${Math.round(half * BATCH_EVENTS).toLocaleString('en-US')} events/s`
    await add(this.#beside(half, this.#ingest, () => this.#open(name, points / 2, this.#point)))
    return cells
  }

  /** As many as can be done: capacity. `each`: how many things one deed is. */
  async #closed(name: string, each: number, askers: number, deed: Deed): Promise<DoorCell> {
    const { seconds } = this.#task
    await closedLoad({ askers, seconds: seconds * WARM_UP }, deed)
    return this.#measured(name, null, each, () => closedLoad({ askers, seconds }, deed))
  }

  async #open(name: string, perSecond: number, deed: Deed): Promise<DoorCell> {
    const { seconds } = this.#task
    await openLoad({ perSecond, seconds: seconds * WARM_UP }, deed)
    return this.#measured(name, perSecond, 1, () => openLoad({ perSecond, seconds }, deed))
  }

  /** From the publication of an event, in the midst of others, to an answer that shows it in a feature of this entity. */
  #readable(entity: 'user' | 'page'): Promise<DoorCell> {
    const name = `publish to readable by ${entity}, beside ${LIVE_EVENTS_PER_S.toLocaleString('en-US')} events/s`
    const probe: Deed = (done) => this.#probe(entity).then(done)
    return this.#beside(LIVE_EVENTS_PER_S / BATCH_EVENTS, this.#ingest, () => this.#open(name, PROBES_PER_S, probe))
  }

  /** Measures while something else goes on at a steady rate; throws where that was not kept. */
  async #beside(perSecond: number, deed: Deed, measure: () => Promise<DoorCell>): Promise<DoorCell> {
    const load = openLoad({ perSecond, seconds: (1 + WARM_UP) * this.#task.seconds }, deed)
    const cell = await measure()
    const { done, failed, seconds } = await load
    await caughtUp(this.#readers)
    const beside = { perSecond, done, failed, seconds }
    return { ...cell, beside }
  }

  async #measured(name: string, offered: number | null, each: number, work: () => Promise<Paced>): Promise<DoorCell> {
    const { nodePid, serverPid } = this.#task
    const [node, server, client] = [cpuSecondsOf(nodePid), cpuSecondsOf(serverPid), process.cpuUsage()]
    const { latencyUs, done, failed, seconds } = await work()
    const { user, system } = process.cpuUsage(client)
    const ms = (percent: number): number => latencyUs.getValueAtPercentile(percent) / 1_000
    return {
      ...{ name, offeredPerSecond: offered, done: done * each, failed, seconds },
      ...{ p50Ms: ms(50), p99Ms: ms(99), maxMs: latencyUs.maxValue / 1_000 },
      nodeCpuSeconds: cpuSecondsOf(nodePid) - node,
      serverCpuSeconds: cpuSecondsOf(serverPid) - server,
      clientCpuSeconds: (user + system) / 1e6,
      beside: null,
    }
  }

  // --- deeds

  readonly #ingest: Deed = (done) => {
    const events = Array.from({ length: BATCH_EVENTS }, () => {
      const n = ++this.#events
      return eventText(`e${n}`, userOf(n), `/products/${n % PAGES}`)
    })
    const sent = this.#writers.send(requestBytes('/v1/events', `[${events.join(',')}]`), ({ status, body }) => {
      done(status === 200 && body.indexOf(ALL_TAKEN) !== -1)
    })
    if (!sent) done(false)
  }

  readonly #point: Deed = (done) => {
    const request = requestBytes(`/v1/features/${FEATURE}/user/${userOf(++this.#reads)}`)
    if (!this.#readers.send(request, ({ status }) => done(status === 200))) done(false)
  }

  readonly #many: Deed = (done) => {
    const keys = Array.from({ length: BATCH_KEYS }, () => userOf(++this.#reads))
    const request = requestBytes(`/v1/features/${FEATURE}/user`, JSON.stringify({ keys }))
    if (!this.#readers.send(request, ({ status }) => done(status === 200))) done(false)
  }

  readonly #pointOverNats: Deed = (done) => {
    const subject = readSubject(this.#task.namespace, FEATURE, 'user')
    this.#nc.request(subject, JSON.stringify({ key: userOf(++this.#reads) })).then(
      (reply) => done(reply.string().startsWith('{"feature"')),
      () => done(false),
    )
  }

  /** Whether an event of its own, by a user and of a page that nobody else has, is seen after it was taken. */
  async #probe(entity: 'user' | 'page'): Promise<boolean> {
    const name = `probe${++this.#probes}`
    const taken = await this.#writers.ask(requestBytes('/v1/events', eventText(name, name, name)))
    const position = /"position":"([^"]+)"/.exec(taken.body.toString())?.[1]
    if (taken.status !== 200 || position === undefined) return false
    const path = `/v1/features/${FEATURE}/${entity}/${name}?wait=${position}&timeout_ms=10000`
    const { status, body } = await this.#readers.ask(requestBytes(path))
    return status === 200 && (JSON.parse(body.toString()) as { value: number }).value === 1
  }
}

const ALL_TAKEN = `{"taken":${BATCH_EVENTS},`

const userOf = (n: number): string => `u${(n * STRIDE) % USERS}`

function eventText(id: string, user: string, page: string): string {
  return (
    `{"type":"page_view","event_id":"${id}","event_time":${Date.now()},"advertiser_id":"shop",` +
    `"user_id":"${user}","page_id":"${page}"}`
  )
}

async function load(task: DoorTask, say: (line: string) => void): Promise<DoorCell[]> {
  const nc = await connect({ servers: task.natsUrl })
  const load = new DoorLoad(task, say, nc)
  try {
    return await load.run()
  } finally {
    load.close()
    await nc.close()
  }
}

serveParent(load)
