// A host in a worker thread, seen from here; topology/host-thread.ts is what runs there.
// RH1: nothing asked of it hangs: a thread that ends without having been told to is the halt of all its tasks that have not
//      ended, and whoever waits for an answer gets the same error.
// RH2: what status() says of its tasks is a moment old, and true from when ended() has settled.

import { Worker } from 'node:worker_threads'
import type { CommitRecord } from './commit-record.ts'
import type { FeatureLine } from './features/feature-plan.ts'
import type {
  CommitWait,
  CommitWaited,
  HaltedTask,
  TaskDecisions,
  TaskDecisionsOutcome,
  TaskEvaluationAsk,
  TaskEvaluationOutcome,
  TaskExplain,
  TaskExplainOutcome,
  TaskHost,
  TaskPurchasesAsk,
  TaskPurchasesOutcome,
  TaskRead,
  TaskReadOutcome,
  TaskTop,
  TaskTopOutcome,
  TaskVectors,
  TaskVectorsOutcome,
} from './host.ts'
import {
  errorOf,
  type FromThread,
  type Question,
  type Questions,
  type ThreadTask,
  type ToThread,
} from './host-messages.ts'
import { ReadBatches } from './read-batches.ts'
import type { TaskPhase, TaskStatus } from './task.ts'

export interface RemoteHostOptions extends ThreadTask {
  readonly onHalt: (task: string, error: unknown) => void
  /** The program of the thread: host-thread.ts, but for tests. */
  readonly program?: URL
}

const PROGRAM = new URL('./host-thread.ts', import.meta.url)

/** What a task says of itself when it does no more. */
const OVER: readonly TaskPhase[] = ['drained', 'stopped', 'halted']

interface Asked {
  readonly resolve: (answer: Questions[Question]['answer']) => void
  readonly reject: (error: unknown) => void
}

export class RemoteHost implements TaskHost {
  readonly #tasks: readonly string[]
  readonly #onHalt: RemoteHostOptions['onHalt']
  readonly #worker: Worker
  readonly #asked = new Map<number, Asked>()
  readonly #reads = new ReadBatches<TaskRead, TaskReadOutcome>((asks) => this.#ask('read', asks))
  readonly #vectors = new ReadBatches<TaskVectors, TaskVectorsOutcome>((asks) => this.#ask('readVectors', asks))
  #questions = 0
  #status: readonly TaskStatus[] = []
  readonly #failures: HaltedTask[] = []
  #started = false
  #closing = false
  readonly #ended = Promise.withResolvers<void>()
  /** Why the thread does nothing any more; null while it does. */
  #death: Error | null = null
  readonly #gone = Promise.withResolvers<void>()

  /** Starts the thread, which loads and connects at once. */
  constructor({ onHalt, program = PROGRAM, ...workerData }: RemoteHostOptions) {
    this.#tasks = workerData.tasks
    this.#onHalt = onHalt
    this.#worker = new Worker(program, { workerData, name: workerData.tasks.join(' ') })
      .on('message', (message: FromThread) => this.#hear(message))
      .on('messageerror', (error) => this.#die(error))
      .on('error', (error) => this.#die(error instanceof Error ? error : new Error(String(error))))
      .on('exit', (code) => {
        if (!this.#closing || this.#asked.size > 0)
          this.#die(new Error(`the thread of ${this.#tasks.join(', ')} ended with ${code}`))
        this.#gone.resolve()
      })
  }

  async start(): Promise<void> {
    this.#started = true
    await this.#ask('start', null)
  }

  status(): readonly TaskStatus[] {
    return this.#status
  }

  get failed(): readonly HaltedTask[] {
    return this.#failures
  }

  async ended(): Promise<void> {
    if (this.#started) await this.#ended.promise
  }

  requestStop(): void {
    this.#tell({ kind: 'requestStop' })
  }

  async stop(): Promise<void> {
    this.requestStop()
    await this.ended()
  }

  /** Returns when the thread is no more. */
  async close(): Promise<void> {
    this.#closing = true
    try {
      if (this.#death === null) await this.#ask('close', null)
    } finally {
      await this.#gone.promise
    }
  }

  async *values(T: number): AsyncIterable<FeatureLine> {
    const cursor = await this.#ask('values', T)
    let isAtEnd = false
    try {
      while (!isAtEnd) {
        const values = await this.#ask('next', cursor)
        isAtEnd = values.length === 0
        yield* values
      }
    } finally {
      if (!isAtEnd && this.#death === null) await this.#ask('done', cursor)
    }
  }

  commitOf(task: string): Promise<CommitRecord | null> {
    return this.#ask('commitOf', task)
  }

  commitWith(wait: CommitWait): Promise<CommitWaited> {
    return this.#ask('commitWith', wait)
  }

  read(ask: TaskRead): Promise<TaskReadOutcome> {
    return this.#reads.read(ask)
  }

  readVectors(ask: TaskVectors): Promise<TaskVectorsOutcome> {
    return this.#vectors.read(ask)
  }

  explain(ask: TaskExplain): Promise<TaskExplainOutcome> {
    return this.#ask('explain', ask)
  }

  decisions(ask: TaskDecisions): Promise<TaskDecisionsOutcome> {
    return this.#ask('decisions', ask)
  }

  purchases(ask: TaskPurchasesAsk): Promise<TaskPurchasesOutcome> {
    return this.#ask('purchases', ask)
  }

  evaluation(ask: TaskEvaluationAsk): Promise<TaskEvaluationOutcome> {
    return this.#ask('evaluation', ask)
  }

  top(ask: TaskTop): Promise<TaskTopOutcome> {
    return this.#ask('top', ask)
  }

  async pin(name: string): Promise<void> {
    await this.#ask('pin', name)
  }

  unpin(name: string): Promise<boolean> {
    return this.#ask('unpin', name)
  }

  #ask<Q extends Question>(kind: Q, ask: Questions[Q]['ask']): Promise<Questions[Q]['answer']> {
    if (this.#death !== null) return Promise.reject(this.#death)
    const id = ++this.#questions
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve: resolve as Asked['resolve'], reject })
      this.#tell({ kind, id, ask } as ToThread)
    })
  }

  #tell(message: ToThread): void {
    this.#worker.postMessage(message)
  }

  #hear(message: FromThread): void {
    // What it said before it died may come later than that it did.
    if (this.#death !== null) return
    if (message.kind === 'status') this.#status = message.tasks
    else if (message.kind === 'halted') this.#halt(message.task, errorOf(message.failure))
    else if (message.kind === 'ended') this.#ended.resolve()
    else {
      const asked = this.#asked.get(message.id)!
      this.#asked.delete(message.id)
      if (message.kind === 'answer') asked.resolve(message.answer)
      else asked.reject(errorOf(message.failure))
    }
  }

  #halt(task: string, error: unknown): void {
    this.#failures.push({ task, error })
    this.#onHalt(task, error)
  }

  /** RH1. */
  #die(error: Error): void {
    if (this.#death !== null) return
    this.#death = error
    const over = new Set(this.#status.filter(({ phase }) => OVER.includes(phase)).map(({ name }) => name))
    this.#status = this.#status.map((status) => (over.has(status.name) ? status : { ...status, phase: 'halted' }))
    for (const task of this.#tasks) if (!over.has(task)) this.#halt(task, error)
    this.#ended.resolve()
    void this.#worker.terminate()
    for (const { reject } of this.#asked.values()) reject(error)
    this.#asked.clear()
  }
}
