// Expiry by time bucket, in one formula for all operators: an entry of bucket b is kept until the watermark passes the end
// of b + retention. It goes with its whole bucket, so it stays up to one bucket longer than it must.

export interface Retention {
  /** Width of a bucket, milliseconds: bucket b holds [b x bucketMs, (b + 1) x bucketMs). */
  readonly bucketMs: number
  /** How long after the end of its bucket an entry may still be needed, milliseconds. */
  readonly retentionMs: number
}

/** The lowest bucket that is still needed at this watermark, and the watermark at which it will be another one. */
export function lowestBucketAt(
  watermark: number,
  { bucketMs, retentionMs }: Retention,
): { lowest: number; next: number } {
  const lowest = Math.max(0, Math.floor((watermark - retentionMs) / bucketMs))
  return { lowest, next: (lowest + 1) * bucketMs + retentionMs }
}
