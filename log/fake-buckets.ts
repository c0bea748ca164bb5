// Files of the simulated broker, as log/blobs.ts promises them; log/fake-log.ts asks in steps of the scheduler.

import { type BucketSpec, blobName, damagedBlob, fullBucket } from './blobs.ts'
import { assert, HoldfastError } from './errors.ts'

interface Bucket {
  readonly spec: BucketSpec
  /** In the order in which they were put. */
  readonly files: Map<string, Uint8Array>
}

export class FakeBuckets {
  readonly #buckets: Map<string, Bucket>

  constructor(buckets: ReadonlyMap<string, Bucket> = new Map()) {
    this.#buckets = new Map([...buckets].map(([name, { spec, files }]) => [name, { spec, files: new Map(files) }]))
  }

  copy(): FakeBuckets {
    return new FakeBuckets(this.#buckets)
  }

  /** Bytes that all of them may have. */
  get maxBytes(): number {
    return [...this.#buckets.values()].reduce((sum, { spec }) => sum + spec.maxBytes, 0)
  }

  has({ name }: BucketSpec): boolean {
    return this.#buckets.has(name)
  }

  create(spec: BucketSpec): void {
    const there = this.#buckets.get(spec.name)
    if (there === undefined) this.#buckets.set(spec.name, { spec, files: new Map() })
    else if (there.spec.maxBytes !== spec.maxBytes || there.spec.replicas !== spec.replicas)
      throw new HoldfastError('SETTINGS_DROPPED', `bucket ${spec.name} has other settings than asked for`)
  }

  put(bucket: string, sha256: string, bytes: Uint8Array): void {
    assert(blobName(bytes) === sha256, 'a file is put under the hash of its bytes')
    const there = this.#buckets.get(bucket)
    assert(there !== undefined, `there is a bucket ${bucket}`)
    const has = there.files.get(sha256)
    if (has !== undefined && blobName(has) === sha256) return
    const taken = [...there.files.values()].reduce((sum, { length }) => sum + length, 0)
    if (taken + bytes.length > there.spec.maxBytes) throw fullBucket(bucket, sha256, bytes)
    there.files.set(sha256, bytes)
  }

  get(bucket: string, sha256: string): Uint8Array | null {
    const bytes = this.#buckets.get(bucket)?.files.get(sha256)
    if (bytes === undefined) return null
    if (blobName(bytes) !== sha256) throw damagedBlob(bucket, sha256, 'its bytes have another hash')
    return bytes.slice()
  }

  names(bucket: string): string[] {
    return [...(this.#buckets.get(bucket)?.files.keys() ?? [])]
  }

  remove(bucket: string, sha256: string): void {
    this.#buckets.get(bucket)?.files.delete(sha256)
  }

  /** Somebody changes what is stored under a name. */
  damage(bucket: string, sha256: string, change: (bytes: Uint8Array) => Uint8Array): void {
    const files = this.#buckets.get(bucket)?.files
    const bytes = files?.get(sha256)
    assert(files !== undefined && bytes !== undefined, `there is a file ${sha256} in ${bucket}`)
    files.set(sha256, change(bytes))
  }
}
