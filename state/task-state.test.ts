import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { runPrograms, TINY } from '../test/conformance/stores.ts'
import { MemoryDisk } from './memory-backend.ts'
import { openRocksBackend } from './rocks-backend.ts'

const memoryPlace = async () => {
  const disk = new MemoryDisk()
  return {
    open: async () => disk.open(),
    remove: async () => {},
    crash: (lost: number) => {
      disk.crash(lost)
      return disk.batches
    },
  }
}

const rocksPlace = async () => {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-state-'))
  return { open: () => openRocksBackend(path), remove: async () => rmSync(path, { recursive: true }) }
}

describe('stores equal their twin on random programs', () => {
  test('memory, tiny caches, crashes', { timeout: 60_000 }, () => runPrograms(memoryPlace, TINY, 400, true))
  test('memory, default limits, crashes', { timeout: 60_000 }, () => runPrograms(memoryPlace, {}, 100, true))
  test('RocksDB, tiny caches', { timeout: 60_000 }, () => runPrograms(rocksPlace, TINY, 40, false))
})
