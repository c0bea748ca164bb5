// What a commit remembers beside the operators' state: one JSON value in the same RocksDB batch.
// C1: position, numbers and chains stand in the batch of the state they belong to; there is no other truth about them.

import { HoldfastError } from '../log/errors.ts'
import type { Published } from '../log/recovery.ts'
import type { EditionState } from './edition.ts'
import type { WriterCursor } from './intake.ts'
import type { TallyJson } from './tally.ts'

const VERSION = 3

/** Where a task is in its input: the first `applied` records of message `seq` are in state. */
export interface InputPosition {
  readonly seq: number
  readonly applied: number
  /** SHA-256 of that message, and the stream it was in. '' where seq is 0. */
  readonly digest: string
  readonly created: string
}

export interface ControlRecord {
  readonly kind: string
  readonly activation: number
  /** Order time from which it holds, milliseconds. */
  readonly from: number
  readonly body: unknown
}

export interface CommitRecord {
  readonly version: typeof VERSION
  readonly fingerprint: string
  readonly edition: EditionState
  readonly generation: number
  readonly epoch: number
  readonly position: InputPosition
  readonly watermark: number
  /** Highest event time of valid events (`clock: wall`; at the source the watermark follows it). */
  readonly highestTime: number
  /** Highest event time or tick that is known to have been; never goes back, and is never ahead of both. */
  readonly asOf: number
  /** Hash of the configuration that holds for the latest order time applied. */
  readonly config: string
  readonly writers: Readonly<Record<string, WriterCursor>>
  /** By subject; also of those that the plan writes to no more, where numbers go on if it does again. */
  readonly destinations: Readonly<Record<string, Published>>
  readonly tally: TallyJson
  readonly controls: readonly ControlRecord[]
  readonly drained: boolean
  /** The drain has been passed on, and that of the feedback has not come back (topology/feedback.ts). Not given: nothing like it. */
  readonly passedOn?: true
}

export const NOWHERE: InputPosition = { seq: 0, applied: 0, digest: '', created: '' }

export function encodeCommitRecord(record: Omit<CommitRecord, 'version'>): string {
  return JSON.stringify({ version: VERSION, ...record })
}

/** Throws STATE_CORRUPT where the text is not a commit record of this version. */
export function parseCommitRecord(text: string): CommitRecord {
  let record: CommitRecord
  try {
    record = JSON.parse(text)
  } catch {
    throw new HoldfastError('STATE_CORRUPT', 'the commit record cannot be read')
  }
  if (record.version !== VERSION) {
    throw new HoldfastError('STATE_CORRUPT', 'the state was written by another version of Holdfast', {
      version: String(record.version),
      expected: VERSION,
    })
  }
  return record
}
