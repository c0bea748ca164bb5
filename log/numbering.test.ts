// Numbers, chains and chunks of what a writer computes, before anything is published.

import { constants } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { Chain, encodeFrame, FRAME_BYTES_MAX, joinRecords } from './frame.ts'
import {
  ATOMIC_BATCH_MAX,
  type Chunk,
  chainAt,
  chunkOf,
  comparePositions,
  ENCODED_CHARS_MAX,
  Numbering,
  RECORD_BYTES_MAX,
  startOf,
  withoutFirst,
} from './numbering.ts'

const START = startOf('w', 's')
const HERE = { seq: 1, index: 0 }
const text = (i: number) => `"record ${i}"`
const texts = (count: number) => Array.from({ length: count }, (_, i) => text(i))

const sizeOf = ({ before, after }: Chunk) => after.number - before.number
/** Of records without commas and line ends in them. */
const recordsIn = ({ payload }: Chunk) => payload.toString().slice(1, -1).split(',\n')

/** The chain over records, one by one. */
function chainOver(records: readonly string[]): string {
  const chain = Chain.fromHex(START.chain)
  for (const record of records) chain.add(Buffer.from(record), 0, Buffer.byteLength(record))
  return chain.hex
}

describe('Numbering', () => {
  it('goes on from commit to commit, and the chain is that of the records alone', () => {
    const whole = texts(100)
    for (const cuts of [[100], [1, 99], [33, 33, 34], [0, 50, 0, 50]]) {
      const numbering = new Numbering('frames', START)
      let from = 0
      for (const cut of cuts) {
        const outbox = numbering.take(whole.slice(from, from + cut), 5, HERE)
        expect(outbox.before.number).toBe(from)
        from += cut
        expect(outbox.after).toEqual({ number: from, chain: chainOver(whole.slice(0, from)) })
      }
      expect(numbering.computed).toEqual({ number: 100, chain: chainOver(whole) })
    }
  })

  it('has no chunk where there is no record', () => {
    const outbox = new Numbering('frames', START).take([], 5, HERE)
    expect(outbox).toMatchObject({ chunks: [], before: START, after: START, watermark: 5, covered: HERE })
  })

  it('makes bytes of a large commit part by part, so that no text becomes longer than there can be', () => {
    const large = JSON.stringify('x'.repeat(RECORD_BYTES_MAX - 2))
    const inPart = Math.floor(ENCODED_CHARS_MAX / large.length)
    const { chunks, after } = new Numbering('records', START).take([...Array(inPart + 1).fill(large), text(0)], 5, HERE)
    expect(ENCODED_CHARS_MAX).toBeLessThan(constants.MAX_STRING_LENGTH)
    expect(after.number).toBe(inPart + 2)
    expect(chunks.map(({ before }) => before)).toEqual([START, ...chunks.slice(0, -1).map((chunk) => chunk.after)])
    // A part begins with a chunk of its own, whatever room the one before has.
    expect(chunks.map(sizeOf)).toEqual([8, 8, 1, 2])
    expect(recordsIn(chunks.at(-1)!)).toEqual([large, text(0)])
  })

  it('cuts frames by bytes: none is larger than the limit unless one record is', () => {
    const third = JSON.stringify('x'.repeat(Math.floor(FRAME_BYTES_MAX / 3) - 10))
    const huge = JSON.stringify('y'.repeat(FRAME_BYTES_MAX + 1))
    const { chunks } = new Numbering('frames', START).take([third, third, third, third, huge, third], 5, HERE)
    expect(chunks.map(sizeOf)).toEqual([3, 1, 1, 1])
    for (const chunk of chunks) {
      expect(chunk.payload.equals(encodeFrame(recordsIn(chunk)))).toBe(true)
      if (sizeOf(chunk) > 1) expect(chunk.payload.length).toBeLessThanOrEqual(FRAME_BYTES_MAX)
    }
    expect(chunks.map(({ before, after }) => [before.number, after.number])).toEqual([
      [0, 3],
      [3, 4],
      [4, 5],
      [5, 6],
    ])
  })

  it('counts bytes of UTF-8, and fills a frame to the last byte', () => {
    // Four records of n bytes and their separators and brackets are 4 n + 8 bytes.
    const exact = JSON.stringify('é'.repeat((FRAME_BYTES_MAX / 4 - 2 - 2) / 2))
    const { chunks } = new Numbering('frames', START).take([exact, exact, exact, exact], 5, HERE)
    expect(chunks).toHaveLength(1)
    expect(chunks[0]!.payload.length).toBe(FRAME_BYTES_MAX)
    const more = new Numbering('frames', START).take([exact, exact, exact, `${exact} `], 5, HERE)
    expect(more.chunks).toHaveLength(2)
  })

  it('cuts atomic batches by messages and by bytes', () => {
    const numbering = new Numbering('records', START)
    const { chunks } = numbering.take(texts(2 * ATOMIC_BATCH_MAX + 1), 5, HERE)
    expect(chunks.map(sizeOf)).toEqual([ATOMIC_BATCH_MAX, ATOMIC_BATCH_MAX, 1])
    const largest = JSON.stringify('x'.repeat(RECORD_BYTES_MAX - 2))
    const large = numbering.take(
      Array.from({ length: 17 }, () => largest),
      5,
      HERE,
    )
    expect(large.chunks.map(sizeOf)).toEqual([8, 8, 1])
  })

  it('takes texts of several records as it takes the records', () => {
    const whole = texts(2 * ATOMIC_BATCH_MAX + 7)
    for (const mode of ['frames', 'records'] as const) {
      const one = new Numbering(mode, START).take(whole, 5, HERE)
      const together = [
        joinRecords(whole.slice(0, 900)),
        joinRecords(whole.slice(900, 901)),
        joinRecords(whole.slice(901)),
      ]
      const several = new Numbering(mode, START).take(together, 5, HERE, whole.length)
      expect(several).toEqual(one)
      expect(several.chunks.flatMap(recordsIn)).toEqual(whole)
      expect(() => new Numbering(mode, START).take(together, 5, HERE)).toThrow('without line ends')
    }
  })

  it('refuses a record that no message can carry', () => {
    const record = JSON.stringify('x'.repeat(RECORD_BYTES_MAX - 2))
    expect(new Numbering('records', START).take([record], 5, HERE).chunks).toHaveLength(1)
    for (const mode of ['frames', 'records'] as const) {
      expect(() => new Numbering(mode, START).take([`${record} `], 5, HERE)).toThrow('fits a message')
    }
  })

  it('refuses a record with a line end', () => {
    expect(() => new Numbering('frames', START).take(['[1,\n2]'], 5, HERE)).toThrow('without line ends')
  })
})

it('chainAt is the chain after so many records of a chunk', () => {
  const records = texts(5)
  const chunk = chunkOf(records, START)
  for (let count = 0; count <= 5; count++) expect(chainAt(chunk, count)).toBe(chainOver(records.slice(0, count)))
})

it('what is left of a chunk without its first records is a chunk', () => {
  const records = texts(5)
  const chunk = chunkOf(records, START)
  for (let count = 0; count < 5; count++) {
    const before = { number: count, chain: chainOver(records.slice(0, count)) }
    expect(withoutFirst(chunk, count)).toEqual(chunkOf(records.slice(count), before))
  }
  expect(() => withoutFirst(chunk, 5)).toThrow('something is left')
})

it('positions are ordered by sequence, then by index', () => {
  expect(comparePositions({ seq: 2, index: 0 }, { seq: 1, index: 9 })).toBeGreaterThan(0)
  expect(comparePositions({ seq: 1, index: 3 }, { seq: 1, index: 9 })).toBeLessThan(0)
  expect(comparePositions(HERE, { ...HERE })).toBe(0)
})
