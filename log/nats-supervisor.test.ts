import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream } from '@nats-io/jetstream'
import { connect } from 'nats'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { partitionOf } from './frame.ts'
import { natsConfigText } from './nats-config.ts'
import { findNatsServer } from './nats-server.ts'
import { freeLoopbackPort, type NatsServerHandle, type ServerEvent, startNatsServer } from './nats-supervisor.ts'

let dir: string
let running: NatsServerHandle[]

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-nats-'))
  running = []
})
afterEach(async () => {
  await Promise.all(running.map((server) => server.stop()))
  await rm(dir, { recursive: true })
})

async function start(options: Partial<Parameters<typeof startNatsServer>[0]> = {}): Promise<NatsServerHandle> {
  const server = await startNatsServer({ storeDir: join(dir, 'store'), ...options })
  running.push(server)
  return server
}

/** Command lines of every process that names our directory: the server and its guard. */
async function processesHere(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes(dir) && !line.includes('holdfast-test-parent'))
}

async function until(condition: () => Promise<boolean>, timeoutMs = 10_000): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    if (await condition()) return true
    await sleep(20)
  }
  return false
}

/** Makes a stream, runs `work` with a JetStream client, closes the connection. */
async function withClient<T>(url: string, work: (client: ReturnType<typeof jetstream>) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: url })
  try {
    return await work(jetstream(connection))
  } finally {
    await connection.close()
  }
}

async function makeStream(url: string, name: string, subjects: string[]): Promise<void> {
  await withClient(url, async (client) => {
    await (await client.jetstreamManager()).streams.add({ name, subjects })
  })
}

describe('a server of our own', () => {
  it('answers when start returns, on loopback, with JetStream in its own directory', async () => {
    const server = await start()
    await makeStream(server.url, 'numbers', ['numbers'])
    expect(server.url).toBe(`nats://127.0.0.1:${server.port}`)
    expect(await readdir(join(server.storeDir, 'jetstream', '$G', 'streams'))).toEqual(['numbers'])
    const sockets = (await readFile('/proc/net/tcp', 'utf8')) + (await readFile('/proc/net/tcp6', 'utf8'))
    const port = server.port.toString(16).toUpperCase().padStart(4, '0')
    const listening = [...sockets.matchAll(new RegExp(`([0-9A-F]+):${port} [0-9A-F:]+ 0A`, 'g'))].map((m) => m[1])
    expect(listening).toEqual(['0100007F'])
  })

  it('does not keep a forgetful process alive, and ends with it', async () => {
    const parent = await parentProcess('console.log(server.pid)')
    expect(parent.exitCode).toBe(0)
    expect(await until(async () => (await processesHere()).length === 0)).toBe(true)
  })

  it('says that its port is taken, and looks for another one where it may', async () => {
    const taken = await freeLoopbackPort()
    const other = createServer((socket) => socket.destroy()).listen(taken, '127.0.0.1')
    await expect(start({ port: taken })).rejects.toThrow(/did not start: .*address already in use/)
    const free = await freeLoopbackPort()
    const offers = [taken, taken, free]
    expect((await start({ port: async () => offers.shift()! })).port).toBe(free)
    other.close()
  })

  it('is not taken for ready when another server answers on its port', async () => {
    const first = await start({ storeDir: join(dir, 'first') })
    await expect(start({ storeDir: join(dir, 'second'), port: first.port })).rejects.toThrow(/address already in use/)
  })

  it('is one for each store directory', async () => {
    await start()
    await expect(start()).rejects.toThrow(/STATE_LOCKED/)
  })

  it('is one for each store directory, also where two start at once', async () => {
    const starts = await Promise.allSettled([start(), start()])
    const refused = starts.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
    expect(refused).toEqual([expect.stringMatching(/STATE_LOCKED/)])
  })

  it('names a binary that is none', async () => {
    await expect(start({ binary: '/nowhere/nats-server' })).rejects.toThrow(/did not start: .*\/nowhere\/nats-server/)
  })

  it('refuses a server that is too old, and ends it', async () => {
    const binary = join(dir, 'old-server.mjs')
    await writeFile(binary, OLD_SERVER, { mode: 0o755 })
    await expect(start({ binary })).rejects.toThrow(/SERVER_TOO_OLD: nats-server 2\.9\.10/)
    expect(await processesHere()).toEqual([])
  })
})

/** As much of a server as greets a client. */
const OLD_SERVER = `#!${process.execPath}
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
const config = readFileSync(process.argv[3], 'utf8')
const [, server_name] = /server_name: "(.*)"/.exec(config)
const [, port] = /port: (.*)/.exec(config)
createServer((socket) => {
  socket.write('INFO ' + JSON.stringify({ server_id: 'x', server_name, version: '2.9.10', max_payload: 1048576, headers: true }) + '\\r\\n')
  socket.on('data', (bytes) => { if (bytes.includes('PING')) socket.write('PONG\\r\\n') })
  socket.on('error', () => {})
}).listen(Number(port), '127.0.0.1')
`

describe('the end', () => {
  it('stop leaves no process, and may be called twice', async () => {
    const server = await start()
    expect(await processesHere()).toHaveLength(2)
    await Promise.all([server.stop(), server.stop()])
    expect(await processesHere()).toEqual([])
    expect(await server.exited).toEqual({ code: 0, signal: null })
    await expect(server.ready()).rejects.toThrow(/has ended/)
  })

  it('stop ends a server that is paused, and one that waits to be started again', async () => {
    const server = await start()
    server.kill('SIGSTOP')
    await server.stop()
    const dead = await start({ onEvent: (event) => event.kind === 'died' && void dead.stop() })
    dead.kill('SIGKILL')
    expect((await dead.exited).signal).toBe('SIGKILL')
    expect(await processesHere()).toEqual([])
  })

  it('a parent killed with SIGKILL leaves no orphan', async () => {
    const parent = await parentProcess('process.kill(process.pid, "SIGKILL")')
    expect(parent.signalCode).toBe('SIGKILL')
    expect(await until(async () => (await processesHere()).length === 0)).toBe(true)
    // The next start need not wait for anybody, nor is it refused.
    await start()
  })

  it('a Ctrl-C in the terminal does not reach the server by itself', async () => {
    const server = await start()
    const stat = await readFile(`/proc/${server.pid}/stat`, 'utf8')
    const [, , group, session] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
    expect([group, session]).toEqual([server.pid, server.pid])
  })
})

/** Runs a program that starts a server in our directory and then does `what`; settles when it has ended. */
async function parentProcess(what: string): Promise<{ exitCode: number | null; signalCode: string | null }> {
  const supervisor = new URL('./nats-supervisor.ts', import.meta.url).href
  const storeDir = JSON.stringify(join(dir, 'store'))
  const program = `/* holdfast-test-parent */ import(${JSON.stringify(supervisor)}).then(async ({ startNatsServer }) => {
    const server = await startNatsServer({ storeDir: ${storeDir} }); ${what} })`
  const child = spawn(process.execPath, ['-e', program], { stdio: 'ignore' })
  await new Promise((resolve) => child.once('exit', resolve))
  return child
}

describe('death and return', () => {
  it('after kill -9 it is back on the same port with all that was acknowledged', async () => {
    const events: ServerEvent[] = []
    const server = await start({ onEvent: (event) => events.push(event) })
    await makeStream(server.url, 'numbers', ['numbers'])
    await withClient(server.url, async (client) => {
      for (let i = 1; i <= 100; i++) await client.publish('numbers', String(i))
    })
    const [firstPid, firstUrl] = [server.pid, server.url]
    server.kill('SIGKILL')
    await server.ready()
    expect(server.pid).not.toBe(firstPid)
    expect(server.url).toBe(firstUrl)
    await withClient(firstUrl, async (client) => {
      const { state } = await (await client.jetstreamManager()).streams.info('numbers')
      expect([state.messages, state.last_seq]).toEqual([100, 100])
    })
    expect(events.map((event) => event.kind)).toEqual(['ready', 'died', 'ready'])
    expect(events[1]).toMatchObject({ exit: { signal: 'SIGKILL' }, restartInMs: 100 })
  })

  it('waits longer after each death', async () => {
    const waits: (number | null)[] = []
    const server = await start({ onEvent: (event) => event.kind === 'died' && waits.push(event.restartInMs) })
    for (let death = 0; death < 3; death++) {
      server.kill('SIGKILL')
      await server.ready()
    }
    expect(waits).toEqual([100, 200, 400])
  })

  it('with restart: false it stays dead and says so', async () => {
    const server = await start({ restart: false })
    server.kill('SIGKILL')
    expect(await server.exited).toEqual({ code: null, signal: 'SIGKILL' })
    await expect(server.ready()).rejects.toThrow(/has ended/)
    expect(await processesHere()).toEqual([])
  })
})

describe('configuration', () => {
  const plain = {
    serverName: 'a',
    port: 20000,
    storeDir: '/data/"quoted"',
    logFile: '/l',
    pidFile: '/p',
    syncAlways: true,
    maxStoreBytes: null,
    mappings: {},
    cluster: null,
  }

  it('writes each setting on its own line, quoted', () => {
    const text = natsConfigText(plain)
    expect(text).toMatch(/^ {2}store_dir: "\/data\/\\"quoted\\""$/m)
    expect(text).toMatch(/^ {2}sync_interval: always$/m)
    expect(text).not.toMatch('max_file_store')
    expect(natsConfigText({ ...plain, syncAlways: false })).not.toMatch('always')
  })

  it('fsync is on, and the room for streams is what was given', async () => {
    const server = await start({ maxStoreBytes: 3_000_000 })
    const big = { name: 'big', subjects: ['big'], max_bytes: 3_000_001 }
    await withClient(server.url, async (client) => {
      const manager = await client.jetstreamManager()
      await expect(manager.streams.add(big)).rejects.toThrow(/insufficient storage/)
      await manager.streams.add({ ...big, max_bytes: 3_000_000 })
    })
    await server.stop()
    expect((await jetstreamConfigOf(server.storeDir)).sync_always).toBe(true)
  })

  /** How the server itself understands the file: only its monitoring tells, which Holdfast does not switch on. */
  async function jetstreamConfigOf(storeDir: string): Promise<{ sync_always?: boolean }> {
    const port = await freeLoopbackPort()
    const args = ['-c', join(storeDir, 'nats-server.conf'), '-m', String(port)]
    const monitored = spawn(await findNatsServer(), args, { stdio: 'ignore' })
    try {
      let answer: Response | null = null
      await until(async () => {
        answer = await fetch(`http://127.0.0.1:${port}/varz`).catch(() => null)
        return answer !== null
      })
      return ((await answer!.json()) as { jetstream: { config: object } }).jetstream.config
    } finally {
      monitored.kill('SIGKILL')
    }
  }

  const mapping = (partitions: number) => ({ 'in.*': `in.{{partition(${partitions},1)}}.{{wildcard(1)}}` })

  async function placeOf(server: NatsServerHandle, key: string): Promise<string> {
    return withClient(server.url, async (client) => {
      const ack = await client.publish(`in.${key}`, '{}')
      return (await (await client.jetstreamManager()).streams.getMessage('in', { seq: ack.seq }))!.subject
    })
  }

  it('maps subjects to partitions as partitionOf() does, and takes new mappings while it runs', async () => {
    const server = await start({ mappings: mapping(4) })
    await makeStream(server.url, 'in', ['in.*.*'])
    for (const key of ['u1', 'u2', 'u-77', 'zoë']) {
      expect(await placeOf(server, key)).toBe(`in.${partitionOf(key, 4)}.${key}`)
    }
    const pid = server.pid
    await server.reload(mapping(7))
    for (const key of ['u1', 'u2', 'u-77']) expect(await placeOf(server, key)).toBe(`in.${partitionOf(key, 7)}.${key}`)
    expect(server.pid).toBe(pid)
    server.kill('SIGKILL')
    await server.ready()
    expect(await placeOf(server, 'u1')).toBe(`in.${partitionOf('u1', 7)}.u1`)
  })

  it('refuses mappings that the server cannot read, and keeps the old ones', async () => {
    const server = await start({ mappings: mapping(4) })
    await makeStream(server.url, 'in', ['in.*.*'])
    await expect(server.reload({ 'in.*': 'in.{{partition(4,9)}}' })).rejects.toThrow(/USAGE: nats-server refuses/)
    server.kill('SIGKILL')
    await server.ready()
    expect(await placeOf(server, 'u1')).toBe(`in.${partitionOf('u1', 4)}.u1`)
  })
})
