// What a snapshot says of itself: its commit, and of that what readers are told.

import { NO_WATERMARK } from '../log/frame.ts'
import type { SnapshotFacts } from '../sinks/feature-reads.ts'
import type { ReadSnapshot } from '../state/read-snapshot.ts'
import { type CommitRecord, parseCommitRecord } from './commit-record.ts'

const commits = new WeakMap<ReadSnapshot, CommitRecord>()

/** The commit that a snapshot shows; parsed once, however many readers ask. */
export function commitIn(snapshot: ReadSnapshot): CommitRecord | null {
  if (snapshot.meta === null) return null
  const known = commits.get(snapshot)
  if (known !== undefined) return known
  const commit = parseCommitRecord(snapshot.meta)
  commits.set(snapshot, commit)
  return commit
}

/** What readers are told of a snapshot. `stream`: that its task reads; `configHash`: of the plan, where nothing was committed. */
export function factsIn(snapshot: ReadSnapshot, stream: string, configHash: string): SnapshotFacts {
  const commit = commitIn(snapshot)
  if (commit === null)
    return {
      ...{ asOf: null, completeThrough: null, appliedThrough: { stream, seq: 0, index: -1 }, epoch: 0 },
      config: configHash,
    }
  const { position, watermark, asOf, epoch, config } = commit
  return {
    asOf: asOf === NO_WATERMARK ? null : asOf,
    completeThrough: watermark === NO_WATERMARK ? null : watermark,
    appliedThrough: { stream, seq: position.seq, index: position.applied - 1 },
    epoch,
    config,
  }
}
