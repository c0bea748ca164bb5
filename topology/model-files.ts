// Files of a namespace's models, in its bucket (topology/streams.ts has its name and its room).
// MF1: those of the newest versions are kept, and those that somebody names; whatever else is there is removed.

import { HoldfastError } from '../log/errors.ts'
import type { Log } from '../log/log.ts'
import type { ActiveVersion } from './model-registry.ts'
import { MODEL_FILES_KEPT, modelBucketName } from './streams.ts'

/** The file of a version. Throws MODEL_REFUSED where it is not there, or no more what it was. */
export async function versionFile(
  log: Log,
  namespace: string,
  { version, sha256 }: Pick<ActiveVersion, 'version' | 'sha256'>,
): Promise<Uint8Array> {
  const bytes = await log.getBlob(modelBucketName(namespace), sha256).catch((error: unknown) => {
    if (!(error instanceof HoldfastError) || error.code !== 'BLOB_DAMAGED') throw error
    throw new HoldfastError('MODEL_REFUSED', `the file of model version ${version} is damaged`, {
      reason: 'hash',
      sha256,
    })
  })
  if (bytes !== null) return bytes
  const what = `the file of model version ${version} is not there; those of the newest ${MODEL_FILES_KEPT} are kept`
  throw new HoldfastError('MODEL_REFUSED', what, { reason: 'missing', sha256 })
}

/** Removes files but for the newest MODEL_FILES_KEPT and `pinned` (by SHA-256). */
export async function forgetFiles(log: Log, namespace: string, pinned: readonly string[]): Promise<void> {
  const bucket = modelBucketName(namespace)
  const names = await log.blobNames(bucket)
  const old = names.slice(0, Math.max(0, names.length - MODEL_FILES_KEPT))
  for (const name of old) if (!pinned.includes(name)) await log.removeBlob(bucket, name)
}
