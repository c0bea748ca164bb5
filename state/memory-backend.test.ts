import { describe, expect, test } from 'vitest'
import { backendConformance, batchOf } from '../test/conformance/backend.ts'
import { MemoryDisk } from './memory-backend.ts'

backendConformance('memory', async () => {
  const disk = new MemoryDisk()
  return { open: async () => disk.open(), remove: async () => {} }
})

const key = (text: string): Uint8Array => Buffer.from(text)
const put = (k: string, v: string) => batchOf({ puts: [[key(k), key(v)]] })

describe('a simulated crash', () => {
  test('falls back to an earlier commit, whole batches only', async () => {
    const disk = new MemoryDisk()
    const before = disk.open()
    await before.write(batchOf({ puts: [[key('a'), key('1')]] }))
    await before.write(
      batchOf({
        puts: [
          [key('a'), key('2')],
          [key('b'), key('2')],
        ],
      }),
    )
    await before.write(batchOf({ rangeDeletes: [[key('a'), key('z')]] }))
    disk.crash(2)
    const after = disk.open()
    expect((await after.multiGet([key('a'), key('b')])).map((v) => v && Buffer.from(v).toString())).toEqual(['1', null])
    expect(disk.batches).toBe(1)
  })

  test('kills the handle: what it still writes is lost, what it reads is an error', async () => {
    const disk = new MemoryDisk()
    const dead = disk.open()
    const lost = dead.write(put('a', '1'))
    disk.crash()
    const alive = disk.open()
    await expect(lost).rejects.toThrow(/dead/)
    await expect(dead.multiGet([key('a')])).rejects.toThrow(/closed/)
    expect(() => dead.write(put('a', '1'))).toThrow(/closed/)
    expect(await alive.multiGet([key('a')])).toEqual([null])
  })

  test('writes fail on demand, with nothing written', async () => {
    const disk = new MemoryDisk()
    const backend = disk.open()
    disk.failWrites(1)
    await expect(backend.write(put('a', '1'))).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' })
    await backend.write(put('b', '1'))
    expect((await backend.multiGet([key('a'), key('b')])).map((v) => v !== null)).toEqual([false, true])
  })
})
