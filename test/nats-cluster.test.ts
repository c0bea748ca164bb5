import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream } from '@nats-io/jetstream'
import { connect } from 'nats'
import { expect, it } from 'vitest'
import { freeLoopbackPort, startNatsServer } from '../log/nats-supervisor.ts'
import { startNatsCluster } from './nats-cluster.ts'

it('three servers keep three replicas, and go on without one of them', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-cluster-'))
  const cluster = await startNatsCluster(dir, { restart: false })
  const connection = await connect({ servers: [...cluster.urls], maxReconnectAttempts: -1 })
  try {
    const client = jetstream(connection)
    const manager = await client.jetstreamManager()
    await manager.streams.add({ name: 'kept', subjects: ['kept'], num_replicas: 3 })
    await client.publish('kept', 'one')
    const { cluster: replicas } = await manager.streams.info('kept')
    expect(replicas!.replicas).toHaveLength(2)
    // A follower we are not connected to.
    const follower = cluster.servers.find(
      (server, i) =>
        `server-${i + 1}` !== replicas!.leader && server.port !== Number(connection.getServer().split(':')[1]),
    )!
    follower.kill('SIGKILL')
    await follower.exited
    expect((await client.publish('kept', 'two')).seq).toBe(2)
  } finally {
    await connection.close()
    await cluster.stop()
    await rm(dir, { recursive: true })
  }
})

it('a member without the others listens, but is not ready', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-cluster-'))
  const [own, other] = [await freeLoopbackPort(), await freeLoopbackPort()]
  const routes = [own, other].map((port) => `nats-route://127.0.0.1:${port}`)
  let ready = false
  const starting = startNatsServer({ storeDir: dir, cluster: { name: 'holdfast-test', port: own, routes } }).then(
    () => {
      ready = true
    },
    (error: Error) => error,
  )
  const log = () => readFile(join(dir, 'nats-server.log'), 'utf8').catch(() => '')
  while (!(await log()).includes('Listening for client connections')) await sleep(20)
  await sleep(500)
  expect(ready).toBe(false)
  process.kill(Number(await readFile(join(dir, 'nats-server.pid'), 'utf8')), 'SIGKILL')
  expect(await starting).toMatchObject({ message: expect.stringContaining('did not start') })
  await rm(dir, { recursive: true })
})
