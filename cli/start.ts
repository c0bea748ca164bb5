// `npm start`: all of it at work on this machine, until Ctrl-C: a node with its front door and its page, generated traffic
// that comes in through that door from a process of its own, and what becomes of it, live in this terminal.
// ST1: it begins with nothing: what the last one left stays until then, so that it can be looked at afterwards. What somebody
//      uses is not removed.
// ST2: it ends in this order: the traffic, what is on its way, the last view (also as JSON), the node. So what was shown last
//      is all that the log holds, and test/oracle/shown.ts computes it again from there.
// ST3: everything that it shows it asks of the node's front door, as anybody could.
// The view is cli/live-view.ts, the traffic cli/traffic-process.ts.

import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { HoldfastClient } from '../client/holdfast.ts'
import { lockDirectory } from '../log/directory-lock.ts'
import { HoldfastError } from '../log/errors.ts'
import { realRuntime } from '../log/runtime.ts'
import { buildWeb } from '../scripts/build-web.ts'
import { sayWhy } from './exit-code.ts'
import { chosenFeatures } from './features/declarations-file.ts'
import { countsOf, LiveView, lookAt, type Seen } from './live-view.ts'
import { runNode } from './node-command.ts'
import { LOG_BYTES_DEFAULT, nodeConfigOf, THREADS_DEFAULT } from './settings.ts'
import { TrafficProcess } from './traffic-process.ts'
import { wholeNumber } from './whole-number.ts'

const HTTP_PORT_DEFAULT = 8080
/** Ports that are tried when the first is taken: who has more servers than that says which one is free. */
const PORTS_TRIED = 20
const NAMESPACE = 'holdfast'
const PARTITIONS = 2
/** Milliseconds between looks. */
const LOOK_MS = 1_000
/** Milliseconds in which the last records become readable, at most: less than a person waits after Ctrl-C. */
const QUIET_MS_MAX = 2_500
/** Milliseconds over which nothing may move to be quiet: a few commits, a hop, and a thread's word about itself. */
const QUIET_LOOK_MS = 300
/** Milliseconds after which a list of the largest is made anew (topology/host-reads.ts shares it for one second). */
const TOP_ANEW_MS = 1_050

/**
 * What a conversion is credited with is said once lateness and grace have passed: by default a quarter of an hour. Here the traffic is in
 * order, and somebody looks on.
 */
const GRACE_MS = 1_000
const ATTRIBUTION = { grace: GRACE_MS, shortWait: '20s' }
const CONFIG = nodeConfigOf({ latenessMs: 2_000, attribution: ATTRIBUTION }, 'npm start')

const DIRECTORY = join(import.meta.dirname, '..', '.holdfast', 'start')
export const LAST_SHOWN = 'last-shown.json'

interface Options {
  readonly seconds?: number
  readonly httpPort?: number
  readonly features?: string
  readonly dataDir: string
}

const say = (line: string): void => console.log(line)

async function start({ seconds, httpPort, features, dataDir }: Options): Promise<void> {
  await buildWeb({ say })
  const port = httpPort ?? (await freePort(HTTP_PORT_DEFAULT))
  if (httpPort === undefined && port !== HTTP_PORT_DEFAULT)
    say(`port ${HTTP_PORT_DEFAULT} is taken: this one is on ${port}`)
  let show: Show | null = null
  try {
    await runNode(
      {
        ...{ dataDir, namespace: NAMESPACE, partitions: PARTITIONS, config: CONFIG, replicas: 1 },
        features: chosenFeatures(features),
        ...{ nats: undefined, port: undefined, logBytes: LOG_BYTES_DEFAULT.run, threads: THREADS_DEFAULT },
        http: { host: '127.0.0.1', port, tokenFile: undefined },
        input: 'kept',
        onDirectory: () => clear(dataDir),
        onOpen: (url) => {
          show = new Show(url, dataDir)
        },
        beforeEnd: async () => show?.end(),
        ...(seconds === undefined ? {} : { until: sleep(1_000 * seconds, undefined, { ref: false }) }),
      },
      realRuntime,
      (line) => (show === null ? say(line) : show.say(line)),
    )
  } finally {
    await (show as Show | null)?.close()
  }
  const here = relative(process.cwd(), dataDir)
  const data = here.startsWith('..') ? dataDir : here
  say(`everything is in ${data}. Does it add up? npx holdfast audit --data-dir ${data}`)
  say(`and is it true? node_modules/.bin/node test/oracle/shown.ts --data-dir ${data}`)
}

/** Traffic and view, while the node runs. */
class Show {
  readonly #dataDir: string
  readonly #client: HoldfastClient
  readonly #view: LiveView
  readonly #traffic: TrafficProcess
  readonly #ended = new AbortController()
  readonly #looking: Promise<void>

  constructor(url: string, dataDir: string) {
    this.#dataDir = dataDir
    this.#client = new HoldfastClient({ url })
    this.#view = new LiveView(url, process.stdout)
    this.#traffic = new TrafficProcess({ url, say: (line) => this.say(line) })
    say(`look at it in a browser: ${url}/`)
    this.#looking = this.#lookOn()
  }

  say(line: string): void {
    this.#view.say(line)
  }

  /** ST2, as far as the node. */
  async end(): Promise<void> {
    await this.close()
    await this.#looking
    const isQuiet = await this.#quiet()
    if (!isQuiet) this.say('not everything on its way was readable in time: the last view is without it')
    const last = await lookAt(this.#client)
    this.#view.draw(last)
    const { latenessMs: lateness_ms } = CONFIG
    const settings = { namespace: NAMESPACE, partitions: PARTITIONS, lateness_ms, grace_ms: GRACE_MS }
    const shown = { ...settings, shown_at_ms: Date.now(), ...numbersOf(last) }
    await writeFile(join(this.#dataDir, LAST_SHOWN), `${JSON.stringify(shown, null, 1)}\n`)
    this.#view.leave(last)
  }

  /** Ends the traffic and the view; nothing runs then. */
  async close(): Promise<void> {
    this.#ended.abort()
    await this.#traffic.stop()
  }

  async #lookOn(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      // A node that is going down, or waits for its broker, does not answer: the last view stays.
      const seen = await lookAt(this.#client).catch(() => null)
      if (seen !== null && !this.#ended.signal.aborted) this.#view.draw(seen)
      await sleep(LOOK_MS, undefined, { signal: this.#ended.signal }).catch(() => {})
    }
  }

  /** Whether everything that came in is readable, and every list made after it. */
  async #quiet(): Promise<boolean> {
    const until = performance.now() + QUIET_MS_MAX
    let before = ''
    while (performance.now() < until) {
      const { tasks } = await this.#client.status()
      const counts = JSON.stringify(tasks.map((task) => task.counts))
      const isStill = counts === before && tasks.every(({ pending, lag_ms }) => pending === 0 && lag_ms < QUIET_LOOK_MS)
      if (isStill) {
        await sleep(TOP_ANEW_MS)
        return true
      }
      before = counts
      await sleep(QUIET_LOOK_MS)
    }
    return false
  }
}

/** Every number of a view that follows from the log. */
function numbersOf({ status, tops }: Seen): object {
  const lists = tops.map(({ feature, entity, values, snapshots }) => ({
    ...{ feature, entity },
    values: values.map(({ key, value, snapshot }) => ({ key, value, at: snapshots[snapshot]!.at })),
  }))
  return { events: countsOf(status), tops: lists }
}

/** ST1. Of another directory only what is a node's is removed. */
async function clear(dataDir: string): Promise<void> {
  if (dataDir !== DIRECTORY && !existsSync(join(dataDir, 'node.json'))) return
  // Who looks into its log has it without a node: `audit`, `explain`.
  const log = await lockDirectory(join(dataDir, 'nats'))
  try {
    await rm(dataDir, { recursive: true, force: true })
  } finally {
    log.release()
  }
}

/** The first port from `first` on that is free on loopback. */
async function freePort(first: number): Promise<number> {
  for (let port = first; port < first + PORTS_TRIED; port++) if (await isFree(port)) return port
  const last = first + PORTS_TRIED - 1
  throw new HoldfastError('USAGE', `no port from ${first} to ${last} is free: --http-port says another one`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function main(): Promise<void> {
  const program = new Command('npm start --')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .description('A node, generated traffic, a live view of both and a page, on this machine, until Ctrl-C.')
    .option('--seconds <n>', 'end after so many seconds', wholeNumber('--seconds', 1, 86_400))
    .option(
      '--http-port <port>',
      `default ${HTTP_PORT_DEFAULT} or the next free one; 0: any`,
      wholeNumber('--http-port', 0, 65_535),
    )
    .option(
      '--features <file>',
      'keep what this file declares, or "application" (default: page views of the last hour)',
    )
    .option('--data-dir <dir>', 'log and state; emptied at the start', DIRECTORY)
  program.parse()
  await start(program.opts<Options>())
}

await main().catch((error: unknown) => {
  process.exit(sayWhy(error))
})
