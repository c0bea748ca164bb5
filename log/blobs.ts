// Files beside the log: models, each under the SHA-256 of its bytes. Part of what Holdfast needs of a log (log/log.ts).
// BL1: a name is the SHA-256 of the bytes, in hex: what a name gives never changes, and putting it again changes nothing.
// BL2: a put that was interrupted has left nothing that a get would give; what it left takes room only until the next put
//      that finds none.
// BL3: bytes that do not have their name's hash are an error (BLOB_DAMAGED), never an answer. Put again, they are whole.
// One putter of a bucket at a time is meant: two at once do no harm but where the bucket is full.

import { createHash } from 'node:crypto'
import { HoldfastError } from './errors.ts'

export interface BucketSpec {
  readonly name: string
  /** Bytes; a full bucket refuses (BLOBS_FULL). */
  readonly maxBytes: number
  readonly replicas: number
}

/** Every question throws LogUnavailable when no answer comes: a put is then there or not, and put again. */
export interface Blobs {
  /** Creates the bucket, or compares the settings of the one that is there (SETTINGS_DROPPED). NO_ROOM: the server has none. */
  ensureBucket(spec: BucketSpec): Promise<void>
  /** BL1. Throws BLOBS_FULL. */
  putBlob(bucket: string, sha256: string, bytes: Uint8Array): Promise<void>
  /** null: there is none, or no such bucket. Throws BLOB_DAMAGED. */
  getBlob(bucket: string, sha256: string): Promise<Uint8Array | null>
  /** The names of all, in the order in which they were put. */
  blobNames(bucket: string): Promise<string[]>
  /** Nothing happens where there is none. */
  removeBlob(bucket: string, sha256: string): Promise<void>
}

/** The name of some bytes: their SHA-256 in hex. */
export function blobName(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** What a get throws for bytes that are not those of the name (BL3). */
export function damagedBlob(bucket: string, sha256: string, what: string): HoldfastError {
  return new HoldfastError('BLOB_DAMAGED', `what ${bucket} has under a name is not what was put there: ${what}`, {
    sha256,
  })
}

/** What a put throws where there is no room. */
export function fullBucket(bucket: string, sha256: string, bytes: Uint8Array): HoldfastError {
  return new HoldfastError('BLOBS_FULL', `bucket ${bucket} has no room for a file`, { sha256, bytes: bytes.length })
}
