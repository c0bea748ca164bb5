// What uploads cost who is live: how long an event takes from its publication to an answer that shows it, alone and while a burst
// and a backlog of uploads are processed, and what memory the node takes meanwhile. The node and the server are processes of their own.
// BU1: at the end every event has been read once by the stage of users, none of them refused and none taken for a duplicate.

import { setTimeout as sleep } from 'node:timers/promises'
import { build, type Histogram } from 'hdr-histogram-js'
import { assert } from '../log/errors.ts'
import type { StatusRow } from '../sinks/status.ts'
import { HttpConnections, requestBytes } from './http-connections.ts'
import { cpuSecondsOf, rssBytesOf } from './meter.ts'
import { withNodeAndServer } from './node-process.ts'
import { openLoad } from './pace.ts'
import { table } from './report.ts'

export interface BulkSize {
  readonly burst: number
  readonly backlog: number
  /** Of the measurement without uploads. */
  readonly seconds: number
}

export interface BulkOptions extends BulkSize {
  readonly directory: string
  readonly partitions: number
  readonly threads: number
  readonly say: (line: string) => void
}

export interface BulkCell {
  readonly name: string
  readonly uploaded: number
  /** Until the log had all uploads, and until the stage of users had read them. */
  readonly storedSeconds: number
  readonly doneSeconds: number
  readonly probes: number
  readonly failed: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Busy on average. */
  readonly nodeCores: number
  readonly serverCores: number
  readonly nodeRssMiB: number
  /** Uploaded events stored and not read by the stage of users, at most. */
  readonly waiting: number
}

/** A small shop's page: far from what a node takes, so that what is measured is the wait and not a queue. */
const LIVE_EVENTS_PER_S = 1_000
const LIVE_BATCH = 20
const PROBE_EVERY_MS = 20
const LOOK_MS = 100
const UPLOAD_EVENTS = 10_000
const UPLOAD_PIECE = 200
const MIB = 1024 * 1024
const DONE_MS_MAX = 1_200_000
const FEATURE = 'page_views_1h'

export function bulkCells(o: BulkOptions): Promise<BulkCell[]> {
  return withNodeAndServer('bulk', { ...o, profile: null }, ({ url, pid, serverPid }) =>
    new BulkRun(url, { node: pid, server: serverPid }, o).run(),
  )
}

interface Pids {
  readonly node: number
  readonly server: number
}

class BulkRun {
  readonly #url: string
  readonly #pids: Pids
  readonly #o: BulkOptions
  readonly #http: HttpConnections
  #live = 0
  #probes = 0
  #uploaded = 0
  #waitingMax = 0

  constructor(url: string, pids: Pids, options: BulkOptions) {
    this.#url = url
    this.#pids = pids
    this.#o = options
    this.#http = new HttpConnections(url, 64)
  }

  async run(): Promise<BulkCell[]> {
    const { burst, backlog, seconds, say } = this.#o
    const live = { isOver: false }
    const background = this.#keepLive(live)
    // Of uploads as well: what runs for the first time is compiled meanwhile.
    await this.#measured('warm-up', UPLOAD_EVENTS, 'conversion', seconds)
    const cells = [
      await this.#measured('live alone', 0, 'page_view', seconds),
      await this.#measured(`burst of ${whole(burst)} conversions`, burst, 'conversion', seconds),
      await this.#measured('live alone', 0, 'page_view', seconds),
      await this.#measured(`backlog of ${whole(backlog)} events`, backlog, 'page_view', seconds),
    ]
    live.isOver = true
    await background
    await this.#check()
    this.#http.close()
    say('every event was read once')
    return cells
  }

  async #keepLive(live: { isOver: boolean }): Promise<void> {
    while (!live.isOver) {
      const { failed } = await openLoad({ perSecond: LIVE_EVENTS_PER_S / LIVE_BATCH, seconds: 1 }, (done) => {
        const events = Array.from({ length: LIVE_BATCH }, () => eventText('page_view', `l${++this.#live}`, this.#live))
        const request = requestBytes('/v1/events', `[${events.join()}]`)
        if (!this.#http.send(request, ({ status }) => done(status === 200))) done(false)
      })
      assert(failed === 0, 'live events are taken')
    }
  }

  /** Uploads, and follows single events until the stage of users has read the uploads, and for `seconds` at least. */
  async #measured(name: string, uploads: number, type: string, seconds: number): Promise<BulkCell> {
    const cpu = this.#cpuSeconds
    const begun = performance.now()
    const since = () => (performance.now() - begun) / 1_000
    const latencyUs = build({
      lowestDiscernibleValue: 1,
      highestTrackableValue: 60_000_000,
      numberOfSignificantValueDigits: 3,
    })
    let [failed, rssMiB, doneSeconds] = [0, 0, 0]
    const probes: Promise<void>[] = []
    const probing = setInterval(() => {
      probes.push(
        this.#probe(latencyUs).catch(() => {
          failed++
        }),
      )
    }, PROBE_EVERY_MS)
    this.#waitingMax = 0
    const stored = this.#upload(uploads, type).then(since)
    for (let waiting = -1; waiting !== 0 || since() < seconds; ) {
      await sleep(LOOK_MS)
      rssMiB = Math.max(rssMiB, rssBytesOf(this.#pids.node) / MIB)
      waiting = await this.#waiting()
      doneSeconds = waiting === 0 && doneSeconds === 0 ? since() : waiting === 0 ? doneSeconds : 0
      assert(since() * 1_000 < DONE_MS_MAX, 'uploads are processed')
    }
    const elapsedS = since()
    const [nodeCores, serverCores] = this.#cpuSeconds.map((used, i) => (used - cpu[i]!) / elapsedS)
    clearInterval(probing)
    await Promise.all(probes)
    const ms = (percent: number) => latencyUs.getValueAtPercentile(percent) / 1_000
    const cell = {
      ...{ name, uploaded: uploads, storedSeconds: await stored, doneSeconds, probes: probes.length, failed },
      ...{ p50Ms: ms(50), p99Ms: ms(99), maxMs: latencyUs.maxValue / 1_000, nodeRssMiB: rssMiB },
      ...{ nodeCores: nodeCores!, serverCores: serverCores! },
      waiting: this.#waitingMax,
    }
    this.#o.say(`bulk: ${name}: p99 ${cell.p99Ms.toFixed(1)} ms, ${rssMiB.toFixed(0)} MiB`)
    return cell
  }

  get #cpuSeconds(): number[] {
    return [this.#pids.node, this.#pids.server].map(cpuSecondsOf)
  }

  /** From its publication to an answer that shows it. */
  async #probe(latencyUs: Histogram): Promise<void> {
    const name = `probe${++this.#probes}`
    const begun = performance.now()
    const taken = await this.#http.ask(requestBytes('/v1/events', eventText('page_view', name, name)))
    const position = /"position":"([^"]+)"/.exec(taken.body.toString())?.[1]
    const path = `/v1/features/${FEATURE}/user/${name}?wait=${position}&timeout_ms=10000`
    const { status, body } = await this.#http.ask(requestBytes(path))
    assert(status === 200 && (JSON.parse(body.toString()) as { value: number }).value === 1, 'it is shown')
    latencyUs.recordValue(Math.round((performance.now() - begun) * 1_000))
  }

  /** As fast as the node takes them. */
  async #upload(count: number, type: string): Promise<void> {
    for (let left = count; left > 0; ) {
      const events = Math.min(UPLOAD_EVENTS, left)
      const headers = { 'content-type': 'application/x-ndjson' }
      const body = ReadableStream.from(this.#lines(type, events))
      const answer = await fetch(`${this.#url}/v1/bulk`, { method: 'POST', headers, body, duplex: 'half' })
      const { taken } = (await answer.json()) as { taken: number }
      assert(answer.status === 200 && taken === events, 'the log has room for the backlog')
      left -= events
    }
  }

  /** Made piece by piece: who measures live events is not to wait for a whole upload. */
  async *#lines(type: string, count: number): AsyncGenerator<Uint8Array> {
    for (let left = count; left > 0; left -= UPLOAD_PIECE) {
      const lines = Array.from({ length: Math.min(UPLOAD_PIECE, left) }, () => {
        const n = ++this.#uploaded
        return `${eventText(type, `b${n}`, n)}\n`
      })
      yield Buffer.from(lines.join(''))
      await sleep(0)
    }
  }

  /** Uploaded events that the stage of users has not read; -1: uploads are under way. */
  async #waiting(): Promise<number> {
    const uploaded = this.#uploaded
    const { read } = await this.#counts()
    const waiting = Math.max(0, uploaded + this.#live + this.#probes - read)
    this.#waitingMax = Math.max(this.#waitingMax, waiting)
    // Of live events and probes some are always on their way.
    return waiting < LIVE_EVENTS_PER_S && (await this.#isBulkRead()) ? 0 : waiting
  }

  async #tasks(): Promise<readonly StatusRow[]> {
    const { body } = await this.#http.ask(requestBytes('/v1/status'))
    return (JSON.parse(body.toString()) as { tasks: StatusRow[] }).tasks
  }

  async #isBulkRead(): Promise<boolean> {
    return (await this.#tasks()).every(
      ({ stage, pending, lag_ms }) => stage !== 'bulk' || (pending === 0 && lag_ms === 0),
    )
  }

  async #counts(): Promise<Record<'read' | 'duplicates' | 'dead_letters', number>> {
    const rows = (await this.#tasks()).filter(({ stage }) => stage === 'user-1')
    const sum = (counter: string) => rows.reduce((all, { counts }) => all + (counts[counter] ?? 0), 0)
    return { read: sum('read'), duplicates: sum('duplicates'), dead_letters: sum('dead_letters') }
  }

  /** BU1. */
  async #check(): Promise<void> {
    const read = this.#uploaded + this.#live + this.#probes
    for (let looks = 0; ; looks++) {
      const counts = await this.#counts()
      if (counts.read === read && counts.duplicates + counts.dead_letters === 0) return
      assert(looks < 100, `${read} were sent, and of them ${JSON.stringify(counts)}`)
      await sleep(LOOK_MS)
    }
  }
}

const USERS = 50_000
/** Knuth's multiplier: spreads what is numbered one after the other over all users. */
const STRIDE = 2_654_435_761

function eventText(type: string, id: string, user: string | number): string {
  const name = typeof user === 'string' ? user : `u${(user * STRIDE) % USERS}`
  const more =
    type === 'conversion' ? `"order_id":"o-${id}","value":12.5` : `"page_id":"/products/${id.length}${id.at(-1)}"`
  return `{"type":"${type}","event_id":"${id}","event_time":${Date.now()},"advertiser_id":"shop","user_id":"${name}",${more}}`
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')

export function bulkText(cells: readonly BulkCell[]): string {
  const heads = [
    ...['uploads', 'stored s', 'processed s', 'events/s', 'waiting', 'probes', 'failed'],
    ...['p50 ms', 'p99 ms', 'max ms', 'node cores', 'server cores', 'node MiB'],
  ]
  const rows = cells.map((c) => [
    ...[c.name, c.storedSeconds.toFixed(1), c.uploaded === 0 ? '' : c.doneSeconds.toFixed(1)],
    ...[c.uploaded === 0 ? '' : whole(c.uploaded / c.doneSeconds), c.uploaded === 0 ? '' : whole(c.waiting)],
    ...[whole(c.probes), whole(c.failed), ...[c.p50Ms, c.p99Ms, c.maxMs].map((ms) => ms.toFixed(1))],
    ...[c.nodeCores, c.serverCores].map((cores) => cores.toFixed(2)),
    whole(c.nodeRssMiB),
  ])
  return table(heads, rows)
}
