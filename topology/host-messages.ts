// What a host in a worker thread (topology/host-thread.ts) and the one that asks it (topology/remote-host.ts) say to each
// other. All of it is plain data: functions, tasks and connections stay in their thread.
// HM1: a failure arrives as it was thrown: code, message, numbers and stack.

import { type ErrorCode, HoldfastError } from '../log/errors.ts'
import type { NatsLogOptions } from '../log/nats-log.ts'
import type { CommitRecord } from './commit-record.ts'
import type { FeatureLine } from './features/feature-plan.ts'
import type { GraphOptions } from './graph.ts'
import type {
  CommitWait,
  CommitWaited,
  TaskDecisions,
  TaskDecisionsOutcome,
  TaskEvaluationAsk,
  TaskEvaluationOutcome,
  TaskExplain,
  TaskExplainOutcome,
  TaskPurchasesAsk,
  TaskPurchasesOutcome,
  TaskRead,
  TaskReadOutcome,
  TaskTop,
  TaskTopOutcome,
  TaskVectors,
  TaskVectorsOutcome,
} from './host.ts'
import type { BatchResult } from './read-batches.ts'
import type { TaskStatus, TaskTuning } from './task.ts'

/** How a thread reaches the broker: as the main one does. */
export type ThreadConnection = Pick<NatsLogOptions, 'servers' | 'name' | 'requestTimeoutMs'>

/** What a thread is started with. */
export interface ThreadTask {
  /** A plan holds functions: the thread compiles its own, which must have this fingerprint. */
  readonly graph: GraphOptions
  readonly fingerprint: string
  readonly tasks: readonly string[]
  readonly connection: ThreadConnection
  readonly stateDir: string
  readonly tuning: TaskTuning
}

/** What can be asked, and what the answer is. One question at a time of each `values` cursor. */
export interface Questions {
  start: { ask: null; answer: null }
  commitOf: { ask: string; answer: CommitRecord | null }
  commitWith: { ask: CommitWait; answer: CommitWaited }
  /** Begins to read what there is at a time, milliseconds; the answer names the cursor. */
  values: { ask: number; answer: number }
  /** The next values of a cursor, none at its end: nothing is sent that was not asked for. */
  next: { ask: number; answer: readonly FeatureLine[] }
  /** Ends a cursor before its end. */
  done: { ask: number; answer: null }
  /** One answer for each, in their order. */
  read: { ask: readonly TaskRead[]; answer: readonly BatchResult<TaskReadOutcome>[] }
  readVectors: { ask: readonly TaskVectors[]; answer: readonly BatchResult<TaskVectorsOutcome>[] }
  explain: { ask: TaskExplain; answer: TaskExplainOutcome }
  decisions: { ask: TaskDecisions; answer: TaskDecisionsOutcome }
  purchases: { ask: TaskPurchasesAsk; answer: TaskPurchasesOutcome }
  evaluation: { ask: TaskEvaluationAsk; answer: TaskEvaluationOutcome }
  top: { ask: TaskTop; answer: TaskTopOutcome }
  pin: { ask: string; answer: null }
  unpin: { ask: string; answer: boolean }
  close: { ask: null; answer: null }
}

export type Question = keyof Questions

export type ToThread =
  | { readonly [Q in Question]: { readonly kind: Q; readonly id: number; readonly ask: Questions[Q]['ask'] } }[Question]
  | { readonly kind: 'requestStop' }

export type FromThread =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Questions[Question]['answer'] }
  | { readonly kind: 'refusal'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'status'; readonly tasks: readonly TaskStatus[] }
  | { readonly kind: 'halted'; readonly task: string; readonly failure: Failure }
  /** After the last status. */
  | { readonly kind: 'ended' }

/** An error as plain data. */
export interface Failure {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /** Of a HoldfastError; else null. */
  readonly coded: { readonly code: ErrorCode; readonly numbers: Readonly<Record<string, string | number>> } | null
}

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: undefined, coded: null }
  const { name, message, stack } = error
  const coded = error instanceof HoldfastError ? { code: error.code, numbers: error.numbers } : null
  return { name, message, stack, coded }
}

export function errorOf({ name, message, stack, coded }: Failure): Error {
  const error = coded === null ? new Error(message) : new HoldfastError(coded.code, message, coded.numbers)
  // A HoldfastError makes its message of code and numbers, which are in this one already.
  return Object.assign(error, { name, message, stack })
}
