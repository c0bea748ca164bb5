// Three nats-servers as one cluster on loopback, for tests that restart a follower or hand over the leader.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from 'nats'
import {
  freeLoopbackPort,
  type NatsServerHandle,
  type NatsServerOptions,
  startNatsServer,
} from '../log/nats-supervisor.ts'

const MEMBERS = 3
const SETTLE_TIMEOUT_MS = 30_000

export interface NatsCluster {
  readonly servers: readonly NatsServerHandle[]
  /** Of all members, for a client that moves on when one is away. */
  readonly urls: readonly string[]
  stop(): Promise<void>
}

/** Starts a cluster whose streams may have three replicas; settles when such a stream can be made. */
export async function startNatsCluster(dir: string, options: Partial<NatsServerOptions> = {}): Promise<NatsCluster> {
  await mkdir(dir, { recursive: true })
  const ports = await Promise.all(Array.from({ length: MEMBERS }, () => freeLoopbackPort()))
  const routes = ports.map((port) => `nats-route://127.0.0.1:${port}`)
  const servers = await Promise.all(
    ports.map((port, i) =>
      startNatsServer({
        ...options,
        storeDir: join(dir, `server-${i + 1}`),
        serverName: `server-${i + 1}`,
        cluster: { name: 'holdfast-test', port, routes },
      }),
    ),
  )
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())))
  try {
    await untilReplicated(servers[0]!.url)
  } catch (error) {
    await stop()
    throw error
  }
  return { servers, urls: servers.map((server) => server.url), stop }
}

/** A member knows its peers only some time after it answers: until then a stream with three replicas is refused. */
async function untilReplicated(url: string): Promise<void> {
  const connection = await connect({ servers: url })
  const deadline = performance.now() + SETTLE_TIMEOUT_MS
  try {
    const manager = await jetstreamManager(connection)
    while (true) {
      try {
        await manager.streams.add({ name: 'settle', subjects: ['settle'], num_replicas: MEMBERS })
        await manager.streams.delete('settle')
        return
      } catch (error) {
        if (performance.now() > deadline) throw error
        await sleep(50)
      }
    }
  } finally {
    await connection.close()
  }
}
