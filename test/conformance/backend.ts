// What every Backend must do (B1, B2 of state/backend.ts). Run by state/memory-backend.test.ts and state/rocks-backend.test.ts.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Backend, Entry, WriteBatch } from '../../state/backend.ts'

/** A place that keeps a backend's data between opens. */
export interface BackendPlace {
  open(): Promise<Backend>
  remove(): Promise<void>
}

const key = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const ALL = { from: key(''), to: key('\xff\xff') }

export function batchOf(parts: Partial<WriteBatch>): WriteBatch {
  return { puts: [], deletes: [], rangeDeletes: [], ...parts }
}

function puts(...pairs: [string, string][]): WriteBatch {
  return batchOf({ puts: pairs.map(([k, v]) => [key(k), key(v)] as const) })
}

async function collect(chunks: AsyncIterable<readonly Entry[]>): Promise<string[]> {
  const lines: string[] = []
  for await (const chunk of chunks) for (const [k, v] of chunk) lines.push(`${latin1(k)}=${latin1(v)}`)
  return lines
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const texts = (values: (Uint8Array | null)[]): (string | null)[] => values.map((v) => (v === null ? null : latin1(v)))

export function backendConformance(name: string, place: () => Promise<BackendPlace>): void {
  describe(`backend: ${name}`, () => {
    let here: BackendPlace
    let backend: Backend

    beforeEach(async () => {
      here = await place()
      backend = await here.open()
    })
    afterEach(async () => {
      await backend.close()
      await here.remove()
    })

    test('multiGet answers in order, null where nothing is, empty values and repeated keys included', async () => {
      await backend.write(puts(['b', '2'], ['a', '1'], ['empty', '']))
      expect(texts(await backend.multiGet(['a', 'x', 'empty', 'b', 'a'].map(key)))).toEqual(['1', null, '', '2', '1'])
      expect(await backend.multiGet([])).toEqual([])
    })

    test('a batch applies range deletes first, half open, then deletes and puts', async () => {
      await backend.write(puts(['a', '1'], ['b', '1'], ['c', '1'], ['d', '1'], ['e', '1']))
      await backend.write(
        batchOf({
          rangeDeletes: [[key('b'), key('d')]],
          deletes: [key('e'), key('gone')],
          puts: [[key('c'), key('2')]],
        }),
      )
      expect(await collect(backend.scan(ALL))).toEqual(['a=1', 'c=2', 'd=1'])
    })

    test('an empty batch is a batch', async () => {
      await backend.write(batchOf({}))
      expect(await collect(backend.scan(ALL))).toEqual([])
    })

    test('scan is in unsigned byte order, half open, in chunks', async () => {
      const names = Array.from({ length: 1000 }, (_, i) => String.fromCharCode(i >> 8, i & 255))
      await backend.write(puts(...names.map((n) => [n, 'x'] as [string, string]).reverse()))
      const range = { from: key('\x00\x7f'), to: key('\x02\x00') }
      const chunks: number[] = []
      for await (const chunk of backend.scan(range)) chunks.push(chunk.length)
      expect(chunks.length).toBeGreaterThan(1)
      expect(await collect(backend.scan(range))).toEqual(names.slice(0x7f, 0x200).map((n) => `${n}=x`))
    })

    test('last gives the end of a range, in order, as much of it as there is and is asked for', async () => {
      const names = Array.from({ length: 700 }, (_, i) => `k${String(i).padStart(3, '0')}`)
      await backend.write(puts(...names.map((n) => [n, 'x'] as [string, string])))
      const range = { from: key('k010'), to: key('k600') }
      const inside = names.slice(10, 600)
      const found = async (count: number) => (await backend.last(range, count)).map(([k]) => latin1(k))
      // Also more than are fetched at once.
      for (const count of [0, 1, 63, 64, 65, 255, 256, 257, 513, 590, 591, 1000]) {
        expect(await found(count)).toEqual(count === 0 ? [] : inside.slice(-count))
      }
      const snapshot = backend.snapshot()
      await backend.write(batchOf({ deletes: [key('k599')], puts: [[key('k598'), key('y')]] }))
      const pair = async (of: Pick<Backend, 'last'>) => (await of.last(range, 2)).map(([k, v]) => latin1(k) + latin1(v))
      expect(await pair(snapshot)).toEqual(['k598x', 'k599x'])
      expect(await pair(backend)).toEqual(['k597x', 'k598y'])
      snapshot.release()
      await expect(snapshot.last(range, 1)).rejects.toThrow(/released/)
    })

    test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
      'last of %d entries is a mistake, not a range',
      async (count) => {
        await backend.write(puts(['a', 'x'], ['b', 'x']))
        await expect(backend.last(ALL, count)).rejects.toThrow(/whole number/)
      },
    )

    test('a scan left early frees what it held', async () => {
      await backend.write(puts(...Array.from({ length: 2000 }, (_, i) => [`k${i}`, 'x'] as [string, string])))
      for await (const chunk of backend.scan(ALL)) {
        expect(chunk.length).toBeGreaterThan(0)
        break
      }
    })

    test('writes apply in the order of their calls, also without waiting', async () => {
      const writes = Array.from({ length: 50 }, (_, i) => backend.write(puts(['k', String(i)], [`n${i}`, 'x'])))
      await Promise.all(writes)
      expect(texts(await backend.multiGet([key('k')]))).toEqual(['49'])
    })

    test('a snapshot never changes, while writes, range deletes and other snapshots go on (B2)', async () => {
      await backend.write(puts(['a', '1'], ['b', '1']))
      const first = backend.snapshot()
      await backend.write(puts(['a', '2'], ['c', '2']))
      const second = backend.snapshot()
      await backend.write(batchOf({ rangeDeletes: [[key('a'), key('z')]] }))
      expect(await collect(first.scan(ALL))).toEqual(['a=1', 'b=1'])
      expect(await collect(second.scan(ALL))).toEqual(['a=2', 'b=1', 'c=2'])
      expect(texts(await first.multiGet([key('a'), key('c')]))).toEqual(['1', null])
      expect(await collect(backend.scan(ALL))).toEqual([])
      first.release()
      expect(texts(await second.multiGet([key('a')]))).toEqual(['2'])
      second.release()
    })

    test('a scan sees the moment it began in', async () => {
      const names = Array.from({ length: 1000 }, (_, i) => `k${String(i).padStart(4, '0')}`)
      await backend.write(puts(...names.map((n) => [n, '1'] as [string, string])))
      const seen: string[] = []
      for await (const chunk of backend.scan(ALL)) {
        for (const [, value] of chunk) seen.push(latin1(value))
        await backend.write(puts(...names.map((n) => [n, '2'] as [string, string])))
      }
      expect(seen).toEqual(names.map(() => '1'))
    })

    test('reading a released snapshot is an error; releasing twice is none', async () => {
      await backend.write(puts(['a', '1']))
      const snapshot = backend.snapshot()
      snapshot.release()
      snapshot.release()
      await expect(snapshot.multiGet([key('a')])).rejects.toThrow(/released/)
      await expect(collect(snapshot.scan(ALL))).rejects.toThrow(/released/)
    })

    test('a scan does not end quietly when its snapshot is released', async () => {
      await backend.write(puts(...Array.from({ length: 2000 }, (_, i) => [`k${i}`, 'x'] as [string, string])))
      const snapshot = backend.snapshot()
      const read = async (): Promise<void> => {
        for await (const chunk of snapshot.scan(ALL)) if (chunk.length > 0) snapshot.release()
      }
      await expect(read()).rejects.toThrow(/released/)
    })

    test('close completes with a snapshot and a scan still open, and keeps the data', async () => {
      await backend.write(puts(...Array.from({ length: 2000 }, (_, i) => [`k${i}`, 'x'] as [string, string])))
      backend.snapshot()
      const scan = backend.scan(ALL)[Symbol.asyncIterator]()
      await scan.next()
      await backend.close()
      await backend.close()
      backend = await here.open()
      expect(texts(await backend.multiGet([key('k1999')]))).toEqual(['x'])
    })

    test('a second opener is refused with STATE_LOCKED', async () => {
      await expect((async () => here.open())()).rejects.toMatchObject({ code: 'STATE_LOCKED' })
    })

    test('the caller may reuse its bytes after a write, and keep what it was given', async () => {
      const value = Buffer.from('one')
      await backend.write(batchOf({ puts: [[key('a'), value]] }))
      value.write('two')
      const [read] = await backend.multiGet([key('a')])
      await backend.write(puts(['a', 'three']))
      expect(latin1(read!)).toBe('one')
    })
  })
}
