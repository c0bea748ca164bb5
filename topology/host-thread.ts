// The program of a worker thread: a host with a connection of its own, which the main thread asks through messages
// (topology/host-messages.ts). topology/remote-host.ts is the other side.
// HT1: its tasks are opened when it is told to start, not before: whoever has the first task of a plan has all of it.
// HT2: it says what its tasks do whenever that has changed, and for the last time before it says that they have ended.
// HT3: it ends when it is closed, and with the process; what goes wrong outside a task ends it, and the other side tells.
// A broker that is away is waited for here as everywhere else: also with the first connection.

import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../log/errors.ts'
import { connectLog, type NatsLog } from '../log/nats-log.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import type { FeatureLine } from './features/feature-plan.ts'
import { pageViewGraph } from './graph.ts'
import { Host } from './host.ts'
import {
  type FromThread,
  failureOf,
  type Question,
  type Questions,
  type ThreadTask,
  type ToThread,
} from './host-messages.ts'
import { runtimeOf } from './kill-point.ts'
import type { Plan } from './plan.ts'

/** Milliseconds between looks at what the tasks do: a person watches. */
const STATUS_MS = 100
/** Values that are on their way at once: some hundred KiB. */
const VALUES_MAX = 4_096

type Cursor = AsyncIterator<FeatureLine>

class HostThread {
  readonly #task: ThreadTask
  readonly #plan: Plan
  readonly #tell: (message: FromThread) => void
  /** null where it was told to stop before the broker was there. */
  readonly #log: Promise<NatsLog | null>
  readonly #stopRequested = Promise.withResolvers<null>()
  #host: Host | null = null
  #told = ''
  readonly #cursors = new Map<number, Cursor>()
  #lastCursor = 0

  constructor(task: ThreadTask, tell: (message: FromThread) => void) {
    this.#task = task
    this.#tell = tell
    this.#plan = pageViewGraph(task.graph)
    assert(this.#plan.fingerprint === task.fingerprint, 'a thread compiles the same plan from the same options')
    const connection = connectLog({ ...task.connection, waitOnFirstConnect: true })
    this.#log = Promise.race([connection, this.#stopRequested.promise])
    // start() tells.
    this.#log.catch(() => {})
  }

  requestStop(): void {
    this.#stopRequested.resolve(null)
    this.#host?.requestStop()
  }

  /** The answers, by question. */
  readonly answers: { readonly [Q in Question]: (ask: Questions[Q]['ask']) => Promise<Questions[Q]['answer']> } = {
    start: () => this.#start(),
    commitOf: (task) => this.#running.commitOf(task),
    commitWith: (wait) => this.#running.commitWith(wait),
    read: (asks) => this.#running.readAll(asks),
    readVectors: (asks) => this.#running.readAllVectors(asks),
    explain: (ask) => this.#running.explain(ask),
    decisions: (ask) => this.#running.decisions(ask),
    purchases: (ask) => this.#running.purchases(ask),
    evaluation: (ask) => this.#running.evaluation(ask),
    top: (ask) => this.#running.top(ask),
    pin: async (name) => {
      await this.#running.pin(name)
      return null
    },
    unpin: (name) => this.#running.unpin(name),
    values: async (T) => {
      this.#cursors.set(++this.#lastCursor, this.#running.values(T)[Symbol.asyncIterator]())
      return this.#lastCursor
    },
    next: (cursor) => this.#next(cursor),
    done: async (cursor) => {
      await this.#cursors.get(cursor)?.return?.()
      this.#cursors.delete(cursor)
      return null
    },
    close: async () => {
      this.#stopRequested.resolve(null)
      await this.#host?.close()
      await (await this.#log.catch(() => null))?.close()
      return null
    },
  }

  async #start(): Promise<null> {
    const timer = setInterval(() => this.#tellStatus(), STATUS_MS)
    try {
      const log = await this.#log
      if (log === null) return null
      this.#host = this.#hostOn(log)
      await this.#host.start()
      this.#tellStatus()
      return null
    } finally {
      void this.#untilEnded().then(() => clearInterval(timer))
    }
  }

  #hostOn(log: NatsLog): Host {
    const { tasks, tuning, stateDir } = this.#task
    return new Host({
      plan: this.#plan,
      tasks,
      log,
      runtime: runtimeOf(process.env),
      tuning,
      role: 'owner',
      backend: (task) => openRocksBackend(join(stateDir, task)),
      onHalt: (task, error) => {
        this.#tellStatus()
        this.#tell({ kind: 'halted', task, failure: failureOf(error) })
      },
    })
  }

  /** HT2. */
  async #untilEnded(): Promise<void> {
    await this.#host?.ended()
    this.#tellStatus()
    this.#tell({ kind: 'ended' })
  }

  #tellStatus(): void {
    const tasks = this.#host?.status() ?? []
    const text = JSON.stringify(tasks)
    if (text === this.#told) return
    this.#told = text
    this.#tell({ kind: 'status', tasks })
  }

  async #next(cursor: number): Promise<readonly FeatureLine[]> {
    const values: FeatureLine[] = []
    const from = this.#cursors.get(cursor)!
    while (values.length < VALUES_MAX) {
      const { done, value } = await from.next()
      if (done) break
      values.push(value)
    }
    if (values.length === 0) this.#cursors.delete(cursor)
    return values
  }

  get #running(): Host {
    assert(this.#host !== null, 'a host that runs tasks is asked')
    return this.#host
  }
}

function serve(): void {
  const port = parentPort!
  const tell = (message: FromThread): void => port.postMessage(message)
  const thread = new HostThread(workerData as ThreadTask, tell)
  port.on('message', (message: ToThread) => {
    if (message.kind === 'requestStop') return thread.requestStop()
    const { kind, id, ask } = message
    const answer = thread.answers[kind] as (ask: unknown) => Promise<Questions[Question]['answer']>
    answer(ask)
      .then((answer) => tell({ kind: 'answer', id, answer }))
      .catch((error: unknown) => tell({ kind: 'refusal', id, failure: failureOf(error) }))
      .finally(() => {
        // Not by closing the port: a connection that never came about would keep the thread alive.
        if (kind === 'close') process.exit()
      })
  })
}

serve()
