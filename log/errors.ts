// The one table of error codes: what each means, what the program does about it, what a person does.
// An expected failure of one event is a value (operators/event.ts); everything here stops a task or a command.
// docs/errors.md repeats this table for people; a test keeps the two equal.

/** `halt`: the task stops and a person decides. `retry`: the program waits and tries again for ever. `usage`: exit 2. */
export type Decision = 'halt' | 'retry' | 'usage'

export interface ErrorRow {
  readonly meaning: string
  readonly decision: Decision
  readonly todo: string
}

const HALT_CODES = {
  FENCED: {
    meaning: 'another instance owns this task now: a newer generation published',
    decision: 'halt',
    todo: 'nothing, if the other instance is meant to run; else stop it and start this one again',
  },
  LOG_WENT_BACK: {
    meaning: 'a stream ends before what state says was applied or published, or holds other bytes there',
    decision: 'halt',
    todo: 'the broker lost or replaced data: restore the stream, or start from a state that is not ahead of it',
  },
  GAP: {
    meaning: 'records between the stored position and the next available one are missing',
    decision: 'halt',
    todo: 'restore the stream from a backup, or rebuild the state from the archive',
  },
  DIVERGED: {
    meaning: 'recomputed output differs from the output that was published before',
    decision: 'halt',
    todo: 'an operator is not a pure function of its log, or code changed: run the version that published',
  },
  FOREIGN_WRITE: {
    meaning: 'a message on a subject of Holdfast was not written by its writer',
    decision: 'halt',
    todo: 'find who published it, take away the permission, and restore the stream',
  },
  RECOVERY_POINT_GONE: {
    meaning:
      'what recovery needs is gone: the last published frame is no longer in the stream, or the file of a version that scores not in its bucket',
    decision: 'halt',
    todo: 'a frame: raise the retention of the stream; rebuild this task from the archive; a file: the run has lost too much of its state, start it again with another --data-dir',
  },
  STATE_CORRUPT: {
    meaning: 'the state directory cannot be read, or what was read back is not what was written',
    decision: 'halt',
    todo: 'restore the state directory of this task; where its input was never trimmed, delete it: it is rebuilt from the log',
  },
  STATE_WRITE_FAILED: {
    meaning: 'a commit could not be written to the state directory (disk full, input/output error)',
    decision: 'halt',
    todo: 'make room or repair the disk, then start again: the task recomputes from its last commit',
  },
  UPGRADE_MID_COMMIT: {
    meaning: 'the plan changed while published output is ahead of the state',
    decision: 'halt',
    todo: 'run the former version with --drain first',
  },
  SETTINGS_DROPPED: {
    meaning: 'the server created a stream without settings that were asked for, or it exists with other settings',
    decision: 'halt',
    todo: 'use nats-server 2.12.15 or newer, or another namespace',
  },
  SERVER_TOO_OLD: {
    meaning: 'the nats-server is older than the oldest version that Holdfast is correct on',
    decision: 'halt',
    todo: 'use nats-server 2.12.15 or newer (2.14.5 or newer in the 2.14 line)',
  },
  NO_ROOM: {
    meaning: 'the server has less storage than the streams of this namespace may use',
    decision: 'halt',
    todo: 'give the server more storage (max_file_store) or the streams less (--log-bytes)',
  },
  LOG_FULL: {
    meaning: 'a stream is full and stays full: nothing that this command does would make room in it',
    decision: 'halt',
    todo: 'start again with more room for the streams (--log-bytes) and another --data-dir',
  },
  BLOBS_FULL: {
    meaning: 'the bucket of model files has no room for another one',
    decision: 'halt',
    todo: 'more files are kept than are meant to be, or larger ones: start again with another namespace, or raise its limit (nats stream edit)',
  },
  BLOB_DAMAGED: {
    meaning: 'a file in the Object Store has lost bytes, or has others than were put there',
    decision: 'halt',
    todo: 'the broker lost or replaced data: activate another version (holdfast model activate), or restore the bucket',
  },
  FILTERS_FULL: {
    meaning: 'the filters of ids, which tell duplicates, have outgrown the memory that the task may use for them',
    decision: 'halt',
    todo: 'nothing is lost: start again with more memory (--memory, docs/capacity.md), or once enough ids have expired',
  },
  OPERATOR_FAILED: {
    meaning: 'an operator threw',
    decision: 'halt',
    todo: 'the message names the operator and the position: this is a bug, report it with the record',
  },
  MODEL_REFUSED: {
    meaning:
      'a model is not what it says, does not fit what is made here, or was compared with another than the live one; the message says which check it failed',
    decision: 'usage',
    todo: 'a file: export it again with this release (holdfast train --onnx), or name the one that is meant; a version: the live one stays, holdfast model list and activate',
  },
  STATE_LOCKED: {
    meaning: 'another process uses the directory',
    decision: 'usage',
    todo: 'stop the other process, or use another --data-dir',
  },
  USAGE: {
    meaning: 'an argument, the configuration or the input file cannot be used',
    decision: 'usage',
    todo: 'the message says what to change; --help lists the options',
  },
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof HALT_CODES
export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = HALT_CODES

/** A failure with a code of the table. `numbers` are the facts that do not add up (sequences, record numbers, chains). */
export class HoldfastError extends Error {
  readonly code: ErrorCode
  readonly numbers: Readonly<Record<string, string | number>>

  constructor(code: ErrorCode, message: string, numbers: Record<string, string | number> = {}) {
    const facts = Object.entries(numbers).map(([name, value]) => `${name}=${value}`)
    super(`${code}: ${message}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`)
    this.name = 'HoldfastError'
    this.code = code
    this.numbers = numbers
  }
}

/** An assertion that stays on. What can only be a bug is asserted; what the world can do is handled. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}
