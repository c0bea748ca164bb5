// A real nats-server of its own for a test, on loopback, in a directory of its own; with the things a test does to it.

import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../log/log.ts'
import { connectLog, type NatsLog } from '../../log/nats-log.ts'
import { type NatsServerHandle, type NatsServerOptions, startNatsServer } from '../../log/nats-supervisor.ts'
import type { LogHarness } from './log.ts'

export interface NatsHarness extends LogHarness {
  readonly url: string
  readonly server: NatsServerHandle
  connect(): Promise<NatsLog>
  restart(whileDown?: () => Promise<void>): Promise<void>
}

export interface NatsHarnessOptions extends Pick<NatsServerOptions, 'syncAlways' | 'maxStoreBytes'> {
  /** Milliseconds; short, so that a paused server is noticed soon. */
  readonly requestTimeoutMs?: number
}

const REQUEST_TIMEOUT_MS = 1_000

export async function natsHarness(options: NatsHarnessOptions = {}): Promise<NatsHarness> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-log-'))
  const storeDir = join(dir, 'store')
  const { requestTimeoutMs = REQUEST_TIMEOUT_MS, ...serverOptions } = options
  const start = (port?: number) =>
    startNatsServer({ storeDir, restart: false, syncAlways: false, ...(port ? { port } : {}), ...serverOptions })
  let server = await start()
  let backups = 0

  async function restart(whileDown: () => Promise<void> = async () => undefined): Promise<void> {
    const port = server.port
    server.kill('SIGKILL')
    await server.exited
    await whileDown()
    server = await start(port)
  }

  /** The signal is delivered some time after it was sent; on other systems than linux that time is slept. */
  async function pause(): Promise<void> {
    server.kill('SIGSTOP')
    const stopped = () => readFile(`/proc/${server.pid}/stat`, 'utf8').then((stat) => / T /.test(stat))
    while (!(await stopped().catch(() => sleep(100).then(() => true)))) await sleep(1)
  }

  async function backup() {
    const copy = join(dir, `backup-${++backups}`)
    // A stopped server cannot write: what is copied is what a kill would leave.
    await pause()
    await cp(join(storeDir, 'jetstream'), copy, { recursive: true })
    server.kill('SIGCONT')
    return (fill?: (log: Log) => Promise<void>) =>
      restart(async () => {
        await rm(join(storeDir, 'jetstream'), { recursive: true })
        await cp(copy, join(storeDir, 'jetstream'), { recursive: true })
        if (fill !== undefined) await elsewhere(fill)
      })
  }

  /** Runs the server on another port, where only `fill` finds it. */
  async function elsewhere(fill: (log: Log) => Promise<void>): Promise<void> {
    server = await start()
    const log = await connect()
    await fill(log)
    await log.close()
    server.kill('SIGKILL')
    await server.exited
  }

  function connect(): Promise<NatsLog> {
    return connectLog({ servers: server.url, name: 'test', requestTimeoutMs })
  }

  const admin = await connect()
  /** Our own connection, once it is back after a restart. */
  async function ready(): Promise<NatsLog> {
    while (!(await admin.ping())) await sleep(20)
    return admin
  }

  return {
    get url() {
      return server.url
    },
    get server() {
      return server
    },
    connect,
    pause,
    resume: () => server.kill('SIGCONT'),
    restart,
    backup,
    recreate: async (spec) => {
      await (await ready()).jsm.streams.delete(spec.name)
      await admin.ensureStream(spec)
    },
    dropConsumers: async (stream) => {
      for (const { name } of await (await ready()).jsm.consumers.list(stream).next()) {
        await admin.jsm.consumers.delete(stream, name)
      }
    },
    sleep: (ms) => sleep(ms),
    close: async () => {
      await admin.close()
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
