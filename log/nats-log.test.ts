// The real log keeps the promises of a log, on a real nats-server; below that, what only it can do.

import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from 'nats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONFORMANCE_STORE_BYTES, logConformance } from '../test/conformance/log.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { type LogMessage, type LogReader, LogUnavailable, type ReadFrom, type StreamSpec, storedBytes } from './log.ts'
import { connectLog, type NatsLog } from './nats-log.ts'

logConformance('JetStream', () => natsHarness({ maxStoreBytes: CONFORMANCE_STORE_BYTES }))

const START: ReadFrom = { seq: 0, digest: '', created: '' }

describe('a connection to JetStream', () => {
  let harness: NatsHarness
  let log: NatsLog
  let streams = 0

  beforeAll(async () => {
    harness = await natsHarness()
    log = await harness.connect()
  })
  afterAll(async () => {
    await log.close()
    await harness.close()
  })

  async function stream(): Promise<StreamSpec> {
    const name = `own-${++streams}`
    const spec = { name, subjects: [`${name}.>`], maxBytes: 64e6, replicas: 1, maxAgeMs: 0, atomic: true }
    await log.ensureStream(spec)
    return spec
  }

  async function publishMany(name: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const result = await log.publish({ subject: `${name}.a`, headers: null, payload: Buffer.from(String(i)) }, null)
      expect(result.kind).toBe('stored')
    }
  }

  async function readCount(reader: LogReader, count: number): Promise<LogMessage[]> {
    const messages: LogMessage[] = []
    while (messages.length < count) {
      const more = await reader.next(10_000)
      expect(more.length).toBeGreaterThan(0)
      messages.push(...more)
    }
    return messages
  }

  it('is LogUnavailable when nobody is there, or waits when asked to', async () => {
    const port = 19_999
    const servers = `nats://127.0.0.1:${port}`
    await expect(connectLog({ servers, name: 'test' })).rejects.toBeInstanceOf(LogUnavailable)
    const waiting = connectLog({ servers, name: 'test', waitOnFirstConnect: true })
    await sleep(500)
    const late = await olderServer(port, '2.14.4')
    await expect(waiting).rejects.toMatchObject({ code: 'SERVER_TOO_OLD' })
    await late.close()
  })

  it.each(['2.9.10', '2.12.14', '2.14.4'])('refuses a server of version %s', async (version) => {
    const server = await olderServer(0, version)
    const connecting = connectLog({ servers: `nats://127.0.0.1:${server.port}`, name: 'test' })
    await expect(connecting).rejects.toMatchObject({ code: 'SERVER_TOO_OLD', numbers: { version } })
    await server.close()
  })

  it('refuses a stream that somebody made without a setting that matters', async () => {
    const name = `own-${++streams}`
    await log.jsm.streams.add({ name, subjects: [`${name}.>`], max_bytes: 1e6, allow_direct: true })
    const spec = { name, subjects: [`${name}.>`], maxBytes: 1e6, replicas: 1, maxAgeMs: 0, atomic: true }
    await expect(log.ensureStream(spec)).rejects.toMatchObject({
      code: 'SETTINGS_DROPPED',
      numbers: { asked: '"new"' },
    })
  })

  it('halts on a message that was deleted from the middle', async () => {
    const spec = await stream()
    await publishMany(spec.name, 10)
    await log.jsm.streams.deleteMessage(spec.name, 6)
    const reader = await log.read(spec.name, START)
    const messages = await readCount(reader, 5)
    expect(messages.map((m) => m.seq)).toEqual([1, 2, 3, 4, 5])
    await expect(reader.next(5_000)).rejects.toMatchObject({ code: 'GAP', numbers: { position: 5, seq: 7 } })
  })

  it('reads messages as large as the server takes', async () => {
    const spec = await stream()
    const payload = Buffer.alloc(1024 * 1024 - 200, 'x')
    for (let i = 0; i < 5; i++) {
      const result = await log.publish({ subject: `${spec.name}.a`, headers: { 'Hf-Frame': `${i}` }, payload }, null)
      expect(result.kind).toBe('stored')
    }
    const reader = await log.read(spec.name, START)
    const messages = await readCount(reader, 5)
    expect(messages.map((m) => m.payload.length)).toEqual(Array(5).fill(payload.length))
    expect(messages.map((m) => m.headers?.['Hf-Frame'])).toEqual(['0', '1', '2', '3', '4'])
    await reader.stop()
  })

  it('fetches no more than a bounded number of bytes ahead of next()', async () => {
    const spec = await stream()
    const payload = Buffer.alloc(500_000, 'x')
    for (let i = 0; i < 60; i++) await log.publish({ subject: `${spec.name}.a`, headers: null, payload }, null)
    const reader = await log.read(spec.name, START)
    await sleep(500)
    const first = await reader.next(5_000)
    const bytes = first.reduce((sum, m) => sum + m.payload.length, 0)
    expect(bytes).toBeLessThan(5 * 1024 * 1024)
    expect(reader.pending).toBe(60 - first.length)
    expect(await readCount(reader, 60 - first.length)).toHaveLength(60 - first.length)
    await reader.stop()
  })

  it('counts what a message takes of the room as the server does', async () => {
    const { name } = await stream()
    const messages = [
      { subject: `${name}.a`, headers: null, payload: Buffer.from('[{"hf":"tick"}]') },
      { subject: `${name}.writer`, headers: { 'Hf-Frame': '1 2 3', Other: 'x' }, payload: Buffer.alloc(1_000) },
      { subject: `${name}.writer`, headers: { 'Hf-Frame': '1 2 3' }, payload: Buffer.alloc(0) },
    ]
    for (const message of messages) expect((await log.publish(message, null)).kind).toBe('stored')
    const connection = await connect({ servers: harness.url })
    const { state } = await (await jetstreamManager(connection)).streams.info(name)
    await connection.close()
    expect(messages.reduce((sum, message) => sum + storedBytes(message), 0)).toBe(state.bytes)
  })

  it('gives each message once when its connection is cut, and goes on publishing', async () => {
    const spec = await stream()
    const own = await harness.connect()
    const reader = await own.read(spec.name, START)
    for (let round = 0; round < 5; round++) {
      await publishMany(spec.name, 20)
      expect(await readCount(reader, 20)).toHaveLength(20)
      await own.nc.reconnect()
    }
    await publishMany(spec.name, 1)
    expect((await readCount(reader, 1)).map((m) => m.seq)).toEqual([101])
    expect(await own.publish({ subject: `${spec.name}.b`, headers: null, payload: Buffer.from('x') }, null)).toEqual({
      kind: 'stored',
      seq: 102,
    })
    await own.close()
  })

  it('calls a publish unknown as soon as the connection breaks', async () => {
    const spec = await stream()
    const patient = await connectLog({ servers: harness.url, name: 'patient', requestTimeoutMs: 60_000 })
    await harness.pause()
    const publishing = patient.publish({ subject: `${spec.name}.a`, headers: null, payload: Buffer.from('x') }, null)
    const started = performance.now()
    await harness.restart()
    expect(await publishing).toEqual({ kind: 'unknown', cause: 'the broker does not answer: connection lost' })
    expect(performance.now() - started).toBeLessThan(20_000)
    await patient.close()
    while (!(await log.ping())) await sleep(20)
  })

  it('comes back under a caller that retries without a pause', async () => {
    const spec = await stream()
    const restarted = harness.restart()
    const first = { subject: `${spec.name}.a`, headers: null, payload: Buffer.from('x') }
    let kind = ''
    while (kind !== 'stored') kind = (await log.publish(first, { lastSubjectSeq: 0 })).kind
    await restarted
    kind = ''
    const again = harness.restart()
    while (kind !== 'stored') kind = (await log.publishBatch([first, first], null)).kind
    await again
    expect(await log.ping()).toBe(true)
  })

  it('gives up a consumer that has gone silent, and goes on with another', async () => {
    const spec = await stream()
    const own = await harness.connect()
    await publishMany(spec.name, 3)
    const reader = await own.read(spec.name, START)
    await readCount(reader, 3)
    const before = await consumerNames(spec.name)
    await harness.pause()
    await sleep(4_500)
    harness.resume()
    let after = before
    for (let i = 0; i < 100 && (after.length === 0 || after.includes(before[0]!)); i++) {
      await sleep(50)
      after = await consumerNames(spec.name).catch(() => before)
    }
    expect(before).toHaveLength(1)
    expect(after).not.toContain(before[0])
    await publishMany(spec.name, 2)
    expect((await readCount(reader, 2)).map((m) => m.seq)).toEqual([4, 5])
    await own.close()
  })

  it('leaves no consumer behind when a reader stops', async () => {
    const spec = await stream()
    await publishMany(spec.name, 3)
    const reader = await log.read(spec.name, START)
    await readCount(reader, 3)
    await reader.stop()
    await log.ping()
    expect(await consumerNames(spec.name)).toEqual([])
  })

  async function consumerNames(name: string): Promise<string[]> {
    return (await log.jsm.consumers.list(name).next()).map((c) => c.name)
  }
})

/** A listener that greets as nats-server of some version does: no old server is at hand, and only its greeting matters. */
async function olderServer(port: number, version: string): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    const info = { server_id: 'old', version, proto: 1, max_payload: 1_048_576, headers: true }
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
    socket.on('data', (data) => data.includes('PING') && socket.write('PONG\r\n'))
    socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
