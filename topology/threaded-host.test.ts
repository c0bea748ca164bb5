// Tasks in several threads, on a real nats-server and RocksDB: the same results as in one, the same failures, and an end.

import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../log/errors.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { FileSource } from './file-source.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from './graph.ts'
import { type TaskHost, tasksOf } from './host.ts'
import type { ClockMode, Plan } from './plan.ts'
import { RemoteHost } from './remote-host.ts'
import { ensureStreams, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING, type TaskTuning } from './task.ts'
import { ThreadedHost, type ThreadedHostOptions } from './threaded-host.ts'

/** Distinct pages: more values than go into one message between threads. */
const PAGES = 9_000
const USERS = 300
const START_MS = Date.UTC(2026, 0, 1)
const AS_OF_MS = START_MS + PAGES * 100
const LOG_BYTES = 256 << 20
/** Small, so that there is a middle to stop in. */
const MANY_COMMITS: TaskTuning = { ...DEFAULT_TUNING, sliceMax: 7, commitRecordsMax: 100 }

let dir: string
let nats: NatsHarness
let log: NatsLog
let input: string

/** Every thread that a test has started. */
const threads: Worker[] = []
process.on('worker', (worker) => threads.push(worker))

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-threads-'))
  nats = await natsHarness()
  log = await nats.connect()
  input = join(dir, 'input.ndjson')
  const line = (i: number) =>
    `{"type":"page_view","event_id":"${i}","event_time":${START_MS + i * 100},"user_id":"u${i % USERS}","page_id":"p${i}"}`
  await writeFile(input, Array.from({ length: PAGES }, (_, i) => `${line(i)}\n`).join(''))
})
beforeEach(() => {
  threads.length = 0
})
afterAll(async () => {
  await log.close()
  await nats.close()
  await rm(dir, { recursive: true })
})

interface Parts extends Partial<Pick<ThreadedHostOptions, 'program' | 'onHalt' | 'tuning' | 'isDoor'>> {
  readonly name: string
  readonly threads: number
  readonly partitions?: number
  readonly clock?: ClockMode
}

let namespaces = 0

/** A host on names of its own; `again` makes another one on the same. */
function unstreamed({ name, partitions = 1, clock = 'data', ...rest }: Parts) {
  const graph: GraphOptions = {
    namespace: `${name}-${++namespaces}`,
    ...{ name, clock, partitions, latenessMs: LATENESS_MS_DEFAULT, anonymous: 'reject', accepted: 'off' },
  }
  const common = { graph, log, runtime: realRuntime, tuning: DEFAULT_TUNING, onHalt: () => {} }
  const connection = { servers: nats.url, name: 'threads test', requestTimeoutMs: 1_000 }
  const stateDir = join(dir, graph.namespace)
  const again = (threads: number) => new ThreadedHost({ ...common, connection, stateDir, ...rest, threads })
  return { graph, plan: pageViewGraph(graph), stateDir, again, host: again(rest.threads) }
}

/** The same, and its streams are there. */
async function parts(options: Parts) {
  const made = unstreamed(options)
  await ensureStreams(log, streamSpecs(made.plan, { totalBytes: LOG_BYTES, replicas: 1 }))
  return made
}

function sourceOf(plan: Plan): FileSource {
  const event = { anonymous: 'reject' } as const
  return new FileSource({ plan, log, runtime: realRuntime, path: input, event, onWait: () => {} })
}

/** Everything that a host has computed. */
async function resultsOf(host: ThreadedHost) {
  const values: string[] = []
  for await (const value of host.values(AS_OF_MS)) values.push(JSON.stringify(value))
  const counts: Record<string, number> = {}
  for (const { name, tally } of host.status()) {
    const { tally: committed } = (await host.commitOf(name))!
    expect(committed).toEqual(tally)
    for (const [counter, count] of Object.entries(tally.counts)) {
      const key = `${name.slice(0, name.lastIndexOf('-'))} ${counter}`
      counts[key] = (counts[key] ?? 0) + count
    }
  }
  return { values: values.sort(), counts }
}

async function closed(...hosts: readonly TaskHost[]): Promise<void> {
  for (const host of hosts) {
    await host.stop()
    await host.close()
  }
  // Of a thread that is no more.
  expect(threads.filter(({ threadId }) => threadId !== -1)).toEqual([])
}

/** What the first stage sent to each task of the second one is what that task has taken. */
function expectAllTaken(host: ThreadedHost): void {
  const all = host.status()
  const sent = all.flatMap(({ sent }) => (sent.pages === undefined ? [] : [sent.pages]))
  const pages = all.filter(({ name }) => name.startsWith('pages-'))
  expect(pages.map(({ taken }) => taken)).toEqual(
    pages.map((_, partition) => sent.reduce((sum, numbers) => sum + numbers[partition]!, 0)),
  )
  // Page views, and one drain from each task to each.
  expect(pages.reduce((sum, { taken }) => sum + taken, 0)).toBe(PAGES + pages.length ** 2)
}

const phasesOf = (host: ThreadedHost) => host.status().map(({ name, phase }) => `${name} ${phase}`)

describe('threads', () => {
  it('give equal results, however many; status is in the order of the plan, and final when all have ended', async () => {
    const all = await Promise.all(
      [{ threads: 1 }, { threads: 2 }, { threads: 4 }, { threads: 1, isDoor: true }, { threads: 3, isDoor: true }].map(
        async (o) => {
          const { host, plan } = await parts({ name: 'equal', ...o, partitions: 4 })
          expect(host.threads).toBe(o.threads)
          await host.start()
          expect(host.status().map(({ name }) => name)).toEqual(tasksOf(plan).map(({ name }) => name))
          await sourceOf(plan).run()
          await host.ended()
          expect(phasesOf(host)).toEqual(tasksOf(plan).map(({ name }) => `${name} drained`))
          expectAllTaken(host)
          return { host, ...(await resultsOf(host)) }
        },
      ),
    )
    await closed(...all.map(({ host }) => host))
    const [one, ...others] = all.map(({ values, counts }) => ({ values, counts }))
    expect(one!.values).toHaveLength(PAGES + USERS)
    expect(one!.counts['user-1 accepted']).toBe(PAGES)
    for (const other of others) expect(other).toEqual(one)
  })

  it('are no more than there are tasks, and a door beside them', async () => {
    for (const isDoor of [false, true]) {
      const { host } = await parts({ name: 'few', threads: 8, partitions: 2, isDoor })
      await closed(host)
      expect(host.threads).toBe(isDoor ? 5 : 4)
    }
  })

  it('a door runs no task while another thread can', async () => {
    const { host } = await parts({ name: 'door', threads: 2, isDoor: true })
    await host.start()
    const started = [...threads]
    // All tasks go with the one other thread.
    for (const thread of started) await thread.terminate()
    const isHalted = () => phasesOf(host).every((phase) => phase.endsWith(' halted'))
    await vi.waitUntil(isHalted, 2_000).catch(() => {})
    const phases = phasesOf(host)
    await closed(host)
    expect(started).toHaveLength(1)
    expect(phases).toEqual(['user-1-0 halted', 'pages-0 halted'])
  })

  it('stop while busy, and go on in another number of threads', async () => {
    const { host, plan, again } = await parts({ name: 'busy', threads: 2, tuning: MANY_COMMITS })
    const source = sourceOf(plan)
    await host.start()
    const sourced = source.run()
    while (((await host.commitOf('pages-0'))?.epoch ?? 0) < 3) await realRuntime.sleep(5)
    await host.stop()
    expect(phasesOf(host)).toEqual(['user-1-0 stopped', 'pages-0 stopped'])
    await closed(host)
    await sourced

    const whole = await parts({ name: 'whole', threads: 1 })
    await whole.host.start()
    await sourceOf(whole.plan).run()
    for (const threads of [1, 2]) {
      const next = again(threads)
      await next.start()
      await Promise.all([next.ended(), whole.host.ended()])
      expect((await next.commitOf('pages-0'))!.drained).toBe(true)
      expect(await resultsOf(next)).toEqual(await resultsOf(whole.host))
      await closed(next)
    }
    await closed(whole.host)
  })

  it('hand out values as they are asked for, also to a reader who leaves', async () => {
    const { host, plan } = await parts({ name: 'values', threads: 2 })
    await host.start()
    await sourceOf(plan).run()
    await host.ended()
    // The pages' are of the other thread.
    let read = 0
    for await (const { entity } of host.values(AS_OF_MS)) if (entity === 'page' && ++read === 10) break
    expect(read).toBe(10)
    const readers = await Promise.all([resultsOf(host), resultsOf(host)])
    expect(readers[0]!.values).toHaveLength(PAGES + USERS)
    expect(readers[1]).toEqual(readers[0])
    await closed(host)
  })
})

describe('what halts a task in another thread', () => {
  /** A message of nobody's lies in the stream of pages-0. */
  async function halted(threads: number) {
    const heard: string[] = []
    const halt = Promise.withResolvers<void>()
    const onHalt = (task: string) => {
      heard.push(task)
      halt.resolve()
    }
    const { host, plan } = await parts({ name: 'halt', threads, clock: 'wall', onHalt })
    const subject = `${plan.namespace}.pages.0.stranger`
    await log.publish({ subject, headers: null, payload: Buffer.from('["forged"]') }, null)
    await host.start()
    await halt.promise
    const phases = phasesOf(host)
    await host.stop()
    expect(phasesOf(host)).toEqual(['user-1-0 stopped', 'pages-0 halted'])
    const [failed] = host.failed
    const error = failed!.error as HoldfastError
    expect(error).toBeInstanceOf(HoldfastError)
    const { code, message, numbers, name } = error
    await closed(host)
    const said = JSON.stringify({ code, message, numbers, name }).replaceAll(plan.namespace, 'ns')
    return { heard, phases, tasks: host.failed.map(({ task }) => task), said, stack: error.stack }
  }

  it('arrives once, with its code and numbers, as if it were here; the others go on', async () => {
    const [here, there] = [await halted(1), await halted(2)]
    expect(there.heard).toEqual(['pages-0'])
    expect(there.tasks).toEqual(['pages-0'])
    expect(there.phases[1]).toBe('pages-0 halted')
    expect(there.phases[0]).not.toMatch(/halted|stopped/)
    expect(there.said).toBe(here.said)
    expect(there.said).toMatch(/"code":"FOREIGN_WRITE","message":"FOREIGN_WRITE: .*"seq":1/)
    expect(there.stack).toMatch(/intake\.ts/)
  })

  it('a state that somebody else has open ends the start', async () => {
    const { host, stateDir } = await parts({ name: 'locked', threads: 2 })
    const other = await openRocksBackend(join(stateDir, 'pages-0'))
    await expect(host.start()).rejects.toMatchObject({ code: 'STATE_LOCKED', name: 'HoldfastError' })
    await closed(host)
    await other.close()
  })

  it.each([{ threads: 2 }, { threads: 3, isDoor: true }])(
    'no state is opened elsewhere while the first one is not ours: %o',
    async (o) => {
      const { host, stateDir } = await parts({ name: 'first', ...o })
      const other = await openRocksBackend(join(stateDir, 'user-1-0'))
      await expect(host.start()).rejects.toMatchObject({ code: 'STATE_LOCKED' })
      // The time that a thread takes to load and to open what it should not.
      await realRuntime.sleep(500)
      expect(existsSync(join(stateDir, 'pages-0'))).toBe(false)
      await closed(host)
      await other.close()
    },
  )
})

describe('a thread that dies', () => {
  const thread = new URL('./host-thread.ts', import.meta.url)

  /** The usual program, which does `what` when the file `now` is there. */
  async function spoiled(name: string, what: string): Promise<{ program: URL; now: string }> {
    const [path, now] = [join(dir, `${name}.mjs`), join(dir, `${name}.now`)]
    await writeFile(
      path,
      `import { existsSync } from 'node:fs'
      import ${JSON.stringify(thread.href)}
      setInterval(() => { if (existsSync(${JSON.stringify(now)})) { ${what} } }, 5)`,
    )
    return { program: pathToFileURL(path), now }
  }

  it.each([
    ['of an error outside a task', "throw new Error('boom')", /^boom$/],
    ['of a rejection that nobody handles', "Promise.reject(new Error('boom'))", /^boom$/],
    ['without a word', 'process.exit(0)', /^the thread of pages-0 ended with 0$/],
  ])('%s is the halt of its tasks, and nothing hangs', async (name, what, message) => {
    const { program, now } = await spoiled(name.replaceAll(' ', '-'), what)
    const heard: string[] = []
    const died = Promise.withResolvers<void>()
    const onHalt = (task: string) => {
      heard.push(task)
      died.resolve()
    }
    const { host } = await parts({ name: 'dies', threads: 2, program, onHalt })
    await host.start()
    const reading = (async () => {
      for (;;) await host.commitOf('pages-0')
    })()
    await Promise.all([expect(reading).rejects.toThrow(message), writeFile(now, '')])
    await died.promise
    expect(host.failed).toEqual([
      { task: 'pages-0', error: expect.objectContaining({ message: expect.stringMatching(message) }) },
    ])
    expect(phasesOf(host)[1]).toBe('pages-0 halted')
    expect(phasesOf(host)[0]).not.toMatch(/halted/)
    await expect(host.commitOf('pages-0')).rejects.toThrow(message)
    await closed(host)
    expect(heard).toEqual(['pages-0'])
  })

  it('because it compiled another plan: the start fails', async () => {
    const { host, plan, graph, stateDir } = await parts({ name: 'other', threads: 1 })
    const connection = { servers: nats.url, name: 'threads test' }
    const task = { graph, tasks: ['pages-0'], connection, stateDir, tuning: DEFAULT_TUNING, onHalt: () => {} }
    const [other, same] = ['another', plan.fingerprint].map((fingerprint) => new RemoteHost({ ...task, fingerprint }))
    await expect(other!.start()).rejects.toThrow(/the same plan/)
    await same!.start()
    await closed(host, other!, same!)
  })

  it('before it has loaded: the start fails', async () => {
    const path = join(dir, 'broken.mjs')
    await writeFile(path, "throw new Error('no thread')")
    const { host } = await parts({ name: 'broken', threads: 2, program: pathToFileURL(path) })
    await expect(host.start()).rejects.toThrow('no thread')
    expect(host.failed.map(({ task }) => task)).toEqual(['pages-0'])
    await closed(host)
  })
})

describe('a broker that is away', () => {
  it('when a thread first asks for it: waited for, and the results are the same', async () => {
    const { host, plan } = await parts({ name: 'away', threads: 2 })
    const source = sourceOf(plan)
    await nats.restart(async () => {
      void host.start()
      await realRuntime.sleep(300)
    })
    await source.run()
    await nats.restart()
    await host.ended()
    expect(host.failed).toEqual([])
    expect((await resultsOf(host)).counts['pages records']).toBe(PAGES)
    await closed(host)
  })

  it('and does not come back: a thread that waits for its first connection stops all the same', async () => {
    await nats.restart(async () => {
      const { host } = unstreamed({ name: 'gone', threads: 2 })
      const started = host.start()
      await realRuntime.sleep(100)
      host.requestStop()
      await started
      await closed(host)
    })
  })
})
