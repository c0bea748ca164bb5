// How large the state of a task is when RocksDB has nothing left to compact.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { RocksDB } from '../state/rocksdb.ts'

/** As the state is opened, in what decides how large its files are. */
const OPTIONS = { createIfMissing: false, tableBlockSize: 4_096, enableBlobFiles: false }

/** Compacts what a closed state left, and gives the bytes of its tables. */
export async function compactedBytes(path: string): Promise<number> {
  const db = new RocksDB(path, OPTIONS)
  await db.ready()
  await db.flush()
  await db.compactRange()
  await db.close()
  const tables = (await readdir(path)).filter((name) => name.endsWith('.sst'))
  const sizes = await Promise.all(tables.map((name) => stat(join(path, name))))
  return sizes.reduce((sum, { size }) => sum + size, 0)
}
