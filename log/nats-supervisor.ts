// Runs a nats-server of our own on loopback: starts it, waits until it really answers, starts it again when it dies, stops it.
// S1: ready means a connection to this very server (by name: a port may be taken by another) and an answer of JetStream.
// S2: it comes back on the same port and store, so that clients reconnect and find what was acknowledged.
// S3: one server per store directory: nats-server itself takes no lock, and two of them would ruin the store. The lock is ours
//     (log/directory-lock.ts); a server that has lost its process, and so the lock, is waited for by its pid.
// S4: it never outlives this process (log/guarded-child.ts).
// S5: before each start its store is mended where the server itself would not do it (log/torn-streams.ts).
// Finding a binary is in log/nats-server.ts.

import { execFile } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { connect, type NatsConnection } from 'nats'
import { LOCK_WAIT_MS, lockDirectory } from './directory-lock.ts'
import { HoldfastError } from './errors.ts'
import { type Exit, type GuardedChild, startGuarded } from './guarded-child.ts'
import { type ClusterConfig, LOOPBACK, type NatsConfig, natsConfigText } from './nats-config.ts'
import { findNatsServer, versionProblem } from './nats-server.ts'
import { removeTornStreams } from './torn-streams.ts'

export interface NatsServerOptions {
  /** Created when missing; holds streams, configuration and log of this server. */
  readonly storeDir: string
  /** Default: findNatsServer(). */
  readonly binary?: string
  /** Default: a free loopback port. A function is asked again when somebody else was quicker to take what it named. */
  readonly port?: number | (() => Promise<number>)
  /** Default true: acknowledged means on disk. */
  readonly syncAlways?: boolean
  /** Bytes; default: the server's own choice, three quarters of the free disk. */
  readonly maxStoreBytes?: number
  readonly mappings?: Readonly<Record<string, string>>
  /** Makes it a member of a cluster; start all members side by side, none is ready alone. */
  readonly cluster?: ClusterConfig
  readonly serverName?: string
  readonly onEvent?: (event: ServerEvent) => void
  /** Default true: an unexpected end is followed by a new start, with back-off, for ever. */
  readonly restart?: boolean
}

export type ServerEvent =
  | { readonly kind: 'ready'; readonly pid: number; readonly version: string; readonly tookMs: number }
  | { readonly kind: 'died'; readonly exit: Exit; readonly lastWords: string; readonly restartInMs: number | null }

export interface NatsServerHandle {
  readonly url: string
  readonly port: number
  /** Of the server that runs now, or ran last. */
  readonly pid: number
  readonly storeDir: string
  /** Settles when the present server answers; right away when it does. Rejects when there will be none. */
  ready(): Promise<void>
  /** Replaces the subject mappings of the running server; existing connections stay. */
  reload(mappings: Readonly<Record<string, string>>): Promise<void>
  /** Sends a signal to the server process; for tests. */
  kill(signal: NodeJS.Signals): void
  /** Ends the server; when it settles no process of it is left. May be called twice. */
  stop(): Promise<void>
  /** Settles when the server has ended for good: after stop(), or after its death with `restart: false`. */
  readonly exited: Promise<Exit>
}

/** A server with a large store recovers it before it listens; one that neither answers nor ends this long is broken. */
const READY_TIMEOUT_MS = 120_000
const PROBE_INTERVAL_MS = 20
const PROBE_TIMEOUT_MS = 2_000
/** After SIGTERM; then SIGKILL, which loses nothing that was acknowledged (reliability.md, D1). */
const STOP_GRACE_MS = 10_000
const BACKOFF_FIRST_MS = 100
const BACKOFF_MAX_MS = 10_000
/** A server that ran this long is healthy: its next death starts the back-off anew. */
const HEALTHY_AFTER_MS = 30_000
const RELOAD_TIMEOUT_MS = 10_000
/** Another program may take a free port between our look and the server's bind. */
const PORT_ATTEMPTS = 5
/**
 * Below the range that systems hand out to outgoing connections: while the server is down, a client that reconnects in that
 * range can be given the very port it calls, connect to itself and keep the port from the server.
 */
const PORT_FROM = 20_000
const PORT_BELOW = 32_000

const ENDING_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT'])

const run = promisify(execFile)

/** Starts a nats-server and settles when it answers. Throws USAGE, SERVER_TOO_OLD or STATE_LOCKED. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServerHandle> {
  const storeDir = resolve(options.storeDir)
  await mkdir(storeDir, { recursive: true, mode: 0o700 })
  const lock = await lockDirectory(storeDir)
  try {
    await assertUnused(storeDir)
    const server = await startIn(storeDir, options)
    void server.exited.finally(lock.release)
    return server
  } catch (error) {
    lock.release()
    throw error
  }
}

async function startIn(storeDir: string, options: NatsServerOptions): Promise<NatsServerHandle> {
  const binary = options.binary ?? (await findNatsServer())
  for (let attempt = 1; ; attempt++) {
    const { port: wanted = freeLoopbackPort } = options
    const port = typeof wanted === 'number' ? wanted : await wanted()
    const server = new Supervisor(binary, configFor(options, storeDir, port), options)
    try {
      await server.ready()
      return server
    } catch (error) {
      await server.stop()
      const taken = String(error).includes('address already in use')
      if (!taken || typeof wanted === 'number' || attempt === PORT_ATTEMPTS) throw error
    }
  }
}

function configFor(options: NatsServerOptions, storeDir: string, port: number): NatsConfig {
  return {
    serverName: options.serverName ?? `holdfast-${randomBytes(6).toString('hex')}`,
    port,
    storeDir,
    logFile: join(storeDir, 'nats-server.log'),
    pidFile: join(storeDir, 'nats-server.pid'),
    syncAlways: options.syncAlways ?? true,
    maxStoreBytes: options.maxStoreBytes ?? null,
    mappings: options.mappings ?? {},
    cluster: options.cluster ?? null,
  }
}

class Supervisor implements NatsServerHandle {
  readonly url: string
  readonly port: number
  readonly storeDir: string
  readonly exited: Promise<Exit>
  readonly #binary: string
  readonly #restart: boolean
  readonly #onEvent: (event: ServerEvent) => void
  readonly #stopping = new AbortController()
  readonly #configFile: string
  readonly #outputFile: string
  #config: NatsConfig
  #child!: GuardedChild
  #everReady = false
  #answering = false
  #ready = Promise.withResolvers<void>()
  /** Characters of the server's log before the present start. */
  #logStart = 0

  constructor(binary: string, config: NatsConfig, options: NatsServerOptions) {
    this.#binary = binary
    this.#config = config
    this.#restart = options.restart ?? true
    this.#onEvent = options.onEvent ?? (() => {})
    this.port = config.port
    this.storeDir = config.storeDir
    this.url = `nats://${LOOPBACK}:${config.port}`
    this.#configFile = configFileOf(config.storeDir)
    this.#outputFile = join(config.storeDir, 'nats-server.out')
    this.#ready.promise.catch(() => {})
    this.exited = this.#live()
  }

  get pid(): number {
    return this.#child.pid
  }

  ready(): Promise<void> {
    return this.#ready.promise
  }

  kill(signal: NodeJS.Signals): void {
    if (ENDING_SIGNALS.has(signal)) this.#unready()
    this.#child.signal(signal)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    // Stopped before the first start: #live has not yet a child.
    this.#child?.ref()
    this.#child?.signal('SIGTERM')
    // A stopped (SIGSTOP) process hears SIGTERM only after this.
    this.#child?.signal('SIGCONT')
    const kill = setTimeout(() => this.#child.signal('SIGKILL'), STOP_GRACE_MS)
    await this.exited
    clearTimeout(kill)
  }

  async reload(mappings: Readonly<Record<string, string>>): Promise<void> {
    await this.#ready.promise
    const config = { ...this.#config, mappings }
    const candidate = `${this.#configFile}.new`
    await writeFile(candidate, natsConfigText(config), { mode: 0o600 })
    // A file with a mistake would be refused now and, worse, keep the server from starting later.
    await run(this.#binary, ['-t', '-c', candidate]).catch((error: { stderr?: string; message: string }) => {
      throw new HoldfastError('USAGE', `nats-server refuses these mappings: ${lastLine(error.stderr ?? error.message)}`)
    })
    const logged = (await this.#log()).length
    await rename(candidate, this.#configFile)
    this.#config = config
    this.kill('SIGHUP')
    await this.#reloaded(logged)
  }

  /** The log is where the server tells; the other way is a system account, which would need a secret on disk. */
  async #reloaded(logged: number): Promise<void> {
    const deadline = performance.now() + RELOAD_TIMEOUT_MS
    while (performance.now() < deadline) {
      const news = (await this.#log()).slice(logged)
      if (news.includes('Reloaded server configuration')) return
      await sleep(PROBE_INTERVAL_MS)
    }
    throw new Error(`nats-server did not take its new configuration within ${RELOAD_TIMEOUT_MS} ms`)
  }

  /** The one loop of a server's life: start, wait for its end, start again. */
  async #live(): Promise<Exit> {
    await writeFile(this.#configFile, natsConfigText(this.#config), { mode: 0o600 })
    for (let backoffMs = BACKOFF_FIRST_MS; ; backoffMs = Math.min(2 * backoffMs, BACKOFF_MAX_MS)) {
      this.#logStart = (await this.#log()).length
      // S5.
      await removeTornStreams(this.storeDir)
      const startedMs = performance.now()
      this.#child = startGuarded(this.#binary, ['-c', this.#configFile], this.#outputFile)
      const watched = this.#watchUntilReady(this.#child, startedMs)
      const exit = await this.#child.exited
      this.#unready()
      await watched
      if (performance.now() - startedMs > HEALTHY_AFTER_MS) backoffMs = BACKOFF_FIRST_MS
      const again = this.#restart && this.#everReady && !this.#stopping.signal.aborted
      if (!this.#stopping.signal.aborted) {
        this.#onEvent({ kind: 'died', exit, lastWords: await this.#lastWords(), restartInMs: again ? backoffMs : null })
      }
      if (again) await sleep(backoffMs, undefined, { signal: this.#stopping.signal }).catch(() => {})
      if (again && !this.#stopping.signal.aborted) continue
      this.#ready.reject(new Error('nats-server has ended'))
      return exit
    }
  }

  /** A first start that fails is the caller's to know; a later one that hangs is ended, and so tried again. */
  async #watchUntilReady(child: GuardedChild, startedMs: number): Promise<void> {
    try {
      const version = await this.#answer(child, startedMs)
      this.#everReady = true
      this.#answering = true
      this.#ready.resolve()
      this.#onEvent({ kind: 'ready', pid: child.pid, version, tookMs: performance.now() - startedMs })
    } catch (error) {
      if (this.#everReady) child.signal('SIGKILL')
      else this.#ready.reject(error)
    }
  }

  /** The version of the server, once it answers (S1). */
  async #answer(child: GuardedChild, startedMs: number): Promise<string> {
    while (child.running && performance.now() - startedMs < READY_TIMEOUT_MS) {
      const version = await probe(this.url, this.#config.serverName)
      if (version !== null) return version
      await sleep(PROBE_INTERVAL_MS)
    }
    if (child.running) throw new HoldfastError('USAGE', `nats-server gives no answer after ${READY_TIMEOUT_MS} ms`)
    throw new HoldfastError('USAGE', `nats-server did not start: ${await this.#lastWords()}`)
  }

  #unready(): void {
    if (!this.#answering) return
    this.#answering = false
    // Its end is being waited for now.
    this.#child.ref()
    this.#ready = Promise.withResolvers<void>()
    this.#ready.promise.catch(() => {})
  }

  #log(): Promise<string> {
    return readFile(this.#config.logFile, 'utf8').catch(() => '')
  }

  /** The last complaint of this start of the server: its reason, when it failed. */
  async #lastWords(): Promise<string> {
    const output = await readFile(this.#outputFile, 'utf8').catch(() => '')
    const complaints = (await this.#log()).slice(this.#logStart).match(/\[(FTL|ERR|WRN)\] .*/g)
    return lastLine(output) || complaints?.at(-1) || 'it left no word'
  }
}

/** The version of the server if it is the one of this name and its JetStream answers, else null. Throws SERVER_TOO_OLD. */
async function probe(url: string, serverName: string): Promise<string | null> {
  const connection = await connect({ servers: url, reconnect: false, timeout: PROBE_TIMEOUT_MS }).catch(() => null)
  if (connection === null) return null
  try {
    const { server_name: name, version } = connection.info!
    if (name !== serverName) return null
    const problem = versionProblem(version)
    if (problem !== null) throw new HoldfastError('SERVER_TOO_OLD', problem)
    return (await jetstreamAnswers(connection)) ? version : null
  } finally {
    await connection.close()
  }
}

/** Not yet: no responders, or a cluster without a leader. */
async function jetstreamAnswers(connection: NatsConnection): Promise<boolean> {
  const request = connection.request('$JS.API.INFO', '', { timeout: PROBE_TIMEOUT_MS })
  return request.then(
    (answer) => answer.json<{ error?: unknown }>().error === undefined,
    () => false,
  )
}

/** A free port of loopback outside the range of outgoing connections. */
export async function freeLoopbackPort(): Promise<number> {
  while (true) {
    const port = randomInt(PORT_FROM, PORT_BELOW)
    if (await canListen(port)) return port
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const server = createServer()
    server.once('error', () => settle(false))
    server.listen(port, LOOPBACK, () => server.close(() => settle(true)))
  })
}

function configFileOf(storeDir: string): string {
  return join(storeDir, 'nats-server.conf')
}

/** S3. A server whose parent was just killed gets the moment that its guard needs. */
async function assertUnused(storeDir: string): Promise<void> {
  const deadline = performance.now() + LOCK_WAIT_MS
  while (true) {
    const pid = await runningServerOf(storeDir)
    if (pid === null) return
    if (performance.now() > deadline) {
      throw new HoldfastError('STATE_LOCKED', `another nats-server uses ${storeDir}`, { pid })
    }
    await sleep(PROBE_INTERVAL_MS)
  }
}

/** The pid of the process that was started with the configuration in this directory; null if it is gone. */
async function runningServerOf(storeDir: string): Promise<number | null> {
  const pid = Number(await readFile(join(storeDir, 'nats-server.pid'), 'utf8').catch(() => ''))
  if (!Number.isSafeInteger(pid) || pid <= 1) return null
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => commandLineByPs(pid))
  // The number may long belong to another program.
  return commandLine.includes(configFileOf(storeDir)) ? pid : null
}

async function commandLineByPs(pid: number): Promise<string> {
  if (process.platform === 'linux') return ''
  return (await run('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => ({ stdout: '' }))).stdout
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}
