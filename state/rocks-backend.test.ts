import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backendConformance, batchOf } from '../test/conformance/backend.ts'
import { openRocksBackend } from './rocks-backend.ts'

const freshDir = (): string => mkdtempSync(join(tmpdir(), 'holdfast-state-'))

backendConformance('rocksdb', async () => {
  const path = freshDir()
  return { open: () => openRocksBackend(path), remove: async () => rmSync(path, { recursive: true }) }
})

const key = (text: string): Uint8Array => Buffer.from(text)
const ALL = { from: key(''), to: key('\x7f') }

describe('RocksDB on disk', () => {
  let path: string
  beforeEach(() => {
    path = freshDir()
  })
  afterEach(() => rmSync(path, { recursive: true }))

  test('an emptied CURRENT is STATE_CORRUPT and names the directory', async () => {
    const backend = await openRocksBackend(path)
    await backend.write(batchOf({ puts: [[key('a'), key('1')]] }))
    await backend.close()
    truncateSync(join(path, 'CURRENT'), 0)
    await expect(openRocksBackend(path)).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringContaining(path),
    })
  })

  test('a flipped bit in a table file is never a wrong value: gets and scans are right or STATE_CORRUPT', async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `key${String(i).padStart(5, '0')}`)
    const writer = await openRocksBackend(path)
    await writer.write(batchOf({ puts: names.map((n) => [key(n), key(`value of ${n}`)] as const) }))
    await writer.flush()
    await writer.close()
    const file = join(path, readdirSync(path).find((name) => name.endsWith('.sst'))!)
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(file, bytes)

    const backend = await openRocksBackend(path)
    let refused = 0
    for (const n of names) {
      const value = await backend.multiGet([key(n)]).catch((error) => {
        expect(error).toMatchObject({ code: 'STATE_CORRUPT' })
        refused++
        return null
      })
      if (value !== null) expect(Buffer.from(value[0]!).toString()).toBe(`value of ${n}`)
    }
    expect(refused).toBeGreaterThan(0)
    const scan = async (): Promise<void> => {
      for await (const chunk of backend.scan(ALL)) expect(chunk.length).toBeGreaterThan(0)
    }
    await expect(scan()).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
    await backend.close()
  })

  test('kill -9 of the writing process leaves whole batches, in order (B1)', async () => {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { openRocksBackend } from ${JSON.stringify(new URL('./rocks-backend.ts', import.meta.url).href)}
        const backend = await openRocksBackend(${JSON.stringify(path)})
        for (let i = 1; ; i++) {
          const value = Buffer.from(String(i))
          const puts = Array.from({ length: 100 }, (_, k) => [Buffer.from('k' + k), value])
          await backend.write({ puts, deletes: [], rangeDeletes: [] })
          process.stdout.write(i + '\\n')
        }`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let printed = ''
    child.stdout.on('data', (text) => {
      printed += text
    })
    while (printed.split('\n').length < 200) await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const confirmed = Number(printed.trim().split('\n').at(-1)!.trim())

    const backend = await openRocksBackend(path)
    const values = new Set<string>()
    let count = 0
    for await (const chunk of backend.scan(ALL)) {
      for (const [, value] of chunk) values.add(Buffer.from(value).toString())
      count += chunk.length
    }
    await backend.close()
    expect(count).toBe(100)
    expect(values.size).toBe(1)
    expect(Number([...values][0])).toBeGreaterThanOrEqual(confirmed - 1)
  })
})
