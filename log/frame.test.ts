// Golden values of what stands in every log for ever. They were computed by a Python script from the descriptions in
// log/frame.ts, the partitions from the published test vectors of FNV-1a 32; none comes from this code.

import { describe, expect, it } from 'vitest'
import {
  approximate,
  Chain,
  eachRecord,
  encodeFrame,
  encodeFrameHeader,
  type FrameHeader,
  messageDigest,
  parseFrameHeader,
  partitionOf,
} from './frame.ts'

describe('the chain', () => {
  const records = ['[1,0,"a"]', '[2,0,"b"]', '"é😀"', '12345678']
  const golden = ['d29bce06e85bd948', '77d025ca9e0d4578', 'a843d6ad09e76e15', '841a30a386079d57']

  it('starts at writer and destination, and has these values', () => {
    const chain = Chain.start('user-1-0', 'shop.pages.0.user-1-0')
    expect(chain.hex).toBe('8f0e051d8c3276cd')
    const seen = records.map((record) => {
      const bytes = Buffer.from(record)
      chain.add(bytes, 0, bytes.length)
      return chain.hex
    })
    expect(seen).toEqual(golden)
  })

  it('is the same however the records are framed, and from wherever it is taken up again', () => {
    for (let cut = 0; cut <= records.length; cut++) {
      let chain = Chain.start('user-1-0', 'shop.pages.0.user-1-0')
      for (const part of [records.slice(0, cut), records.slice(cut)]) {
        chain = Chain.fromHex(chain.hex)
        const payload = encodeFrame(part)
        expect(eachRecord(payload, (from, to) => chain.add(payload, from, to))).toBe(part.length)
      }
      expect(chain.hex).toBe(golden.at(-1))
    }
  })

  it('differs when a record, its length, their order, the writer or the destination differs', () => {
    const chainOf = (writer: string, destination: string, list: readonly string[]) => {
      const chain = Chain.start(writer, destination)
      for (const record of list) chain.add(Buffer.from(record), 0, Buffer.byteLength(record))
      return chain.hex
    }
    const all = [
      chainOf('w', 'd', ['a', 'b']),
      chainOf('w', 'd', ['b', 'a']),
      chainOf('w', 'd', ['ab']),
      chainOf('w', 'd', ['a', 'b\0']),
      chainOf('w', 'd', ['a', 'b', '']),
      chainOf('x', 'd', ['a', 'b']),
      chainOf('w', 'e', ['a', 'b']),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  it('leaves out what is approximate, with its marks; and nothing else', () => {
    const chainOf = (record: string) => {
      const chain = Chain.start('w', 'd')
      const bytes = Buffer.from(`\tbefore${record}behind\t`)
      chain.add(bytes, '\tbefore'.length, bytes.length - 'behind\t'.length)
      return chain.hex
    }
    expect(approximate(',"p":0.5')).toBe('\t,"p":0.5\t')
    const said = (p: string) => `{"a":1${approximate(p)},"b":2${approximate(p)}}`
    const exact = chainOf(said(',"p":0.5'))
    // As if its three parts were records.
    const parts = Chain.start('w', 'd')
    for (const part of ['{"a":1', ',"b":2', '}']) parts.add(Buffer.from(part), 0, part.length)
    expect(exact).toBe(parts.hex)
    for (let digits = 0; digits < 9; digits++) expect(chainOf(said(`,"p":0.${'5'.repeat(digits)}`))).toBe(exact)
    const others = ['{"a":2', '{"a":1}', '{"a":1,"b":2}', '{"a":1,"p":0.5,"b":2,"p":0.5}', '{"a":1\t,"b":2\t}']
    for (const other of others) expect(chainOf(other)).not.toBe(exact)
    expect(chainOf('{"a":1}\tand what no mark ends')).toBe(chainOf('{"a":1}'))
    expect(chainOf(approximate('1'))).toBe(chainOf(approximate('')))
    // Bytes that differ from a mark by one bit, at each place of a word.
    for (const near of ['\b', '\v', '\r', '\u0001', '\u0019', ')', 'I', '\u0089'])
      for (let pad = 0; pad < 5; pad++)
        expect(chainOf(`${'x'.repeat(pad)}${near}12345${near}`)).not.toBe(
          chainOf(`${'x'.repeat(pad)}${near}12346${near}`),
        )
  })

  it('leaves its copy alone', () => {
    const chain = Chain.start('w', 'd')
    const copy = chain.copy()
    chain.add(Buffer.from('x'), 0, 1)
    expect(copy.hex).toBe(Chain.start('w', 'd').hex)
  })
})

describe('the payload', () => {
  it('has a record on each line of an array', () => {
    expect(encodeFrame(['1', '"é"']).toString()).toBe('[1,\n"é"]')
    expect(encodeFrame([]).toString()).toBe('[]')
  })

  it('says where each record lies', () => {
    const payload = encodeFrame(['1', '[2,3]', '"é"'])
    const found: string[] = []
    expect(eachRecord(payload, (from, to) => found.push(payload.subarray(from, to).toString()))).toBe(3)
    expect(found).toEqual(['1', '[2,3]', '"é"'])
  })

  it.each(['', '[', '{"a":1}', '[1', '1]'])('%j is no array', (text) => {
    expect(eachRecord(Buffer.from(text), () => expect.unreachable())).toBe(-1)
  })
})

describe('the header', () => {
  const header: FrameHeader = {
    first: 7,
    count: 2,
    chainBefore: '0123456789abcdef',
    chainAfter: 'fedcba9876543210',
    generation: 3,
    instance: 'a1b2c3d4',
    watermark: -1,
    coveredSeq: 12,
    coveredIndex: 5,
  }
  const text = '1 7 2 0123456789abcdef fedcba9876543210 3 a1b2c3d4 -1 12 5'

  it('is this text', () => {
    expect(encodeFrameHeader(header)).toBe(text)
    expect(parseFrameHeader(text)).toEqual(header)
  })

  it.each([
    ['nothing', undefined],
    ['an empty text', ''],
    ['another format', text.replace('1 7', '2 7')],
    ['a field too few', text.slice(0, text.lastIndexOf(' '))],
    ['a field too many', `${text} 1`],
    ['an empty field', text.replace(' 7 ', '  ')],
    ['a hexadecimal number', text.replace(' 12 ', ' 0x12 ')],
    ['an exponent', text.replace(' 12 ', ' 1e3 ')],
    ['a fraction', text.replace(' 12 ', ' 1.5 ')],
    ['a number that doubles cannot count', text.replace(' 12 ', ' 9007199254740993 ')],
    ['record number 0', text.replace(' 7 ', ' 0 ')],
    ['a negative count', text.replace(' 2 ', ' -2 ')],
    ['generation 0', text.replace(' 3 ', ' 0 ')],
    ['a chain in capitals', text.replace('fedc', 'FEDC')],
    ['a chain too short', text.replace('fedc', '')],
  ])('%s is not valid', (_, bad) => {
    expect(parseFrameHeader(bad)).toBeNull()
  })
})

describe('the digest of a message', () => {
  const message = {
    seq: 9,
    subject: 'shop.pages.0.w',
    payload: Buffer.from('[1]'),
    timeNs: 1700000000000000001n,
    timeMs: 1700000000000,
  }
  const headers = { 'Hf-Frame': 'x', A: '1' }

  it('has these values, whatever the order of the headers', () => {
    const golden = '5882136d52cf0dd256e731297f3f74899fb62da88daecabbc00d4ed20ad709e3'
    expect(messageDigest({ ...message, headers })).toBe(golden)
    expect(messageDigest({ ...message, headers: { A: '1', 'Hf-Frame': 'x' } })).toBe(golden)
    const bare = { seq: 1, subject: 's', headers: null, payload: Buffer.alloc(0), timeNs: 0n, timeMs: 0 }
    expect(messageDigest(bare)).toBe('0aea5cd4eed47fdcf471a909df0f1ac584edd3c821a054385b7917d0ae60bfd8')
  })

  it('tells subject, headers, payload and timestamp apart', () => {
    const base = { ...message, headers }
    const others = [
      base,
      { ...base, subject: 'shop.pages.0.v' },
      { ...base, headers: { ...headers, A: '2' } },
      { ...base, payload: Buffer.from('[2]') },
      { ...base, timeNs: base.timeNs + 1n },
    ]
    expect(new Set(others.map(messageDigest)).size).toBe(others.length)
  })
})

describe('partitionOf', () => {
  // http://www.isthe.com/chongo/src/fnv/test_fnv.c
  it.each([
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['b', 0xe70c2de5],
    ['foo', 0xa9f37ed7],
    ['foobar', 0xbf9cf968],
  ])('%j hashes as FNV-1a 32 does', (key, hash) => {
    expect(partitionOf(key, 2 ** 32)).toBe(hash)
    for (const partitions of [1, 3, 8, 256]) expect(partitionOf(key, partitions)).toBe(hash % partitions)
  })

  it('hashes the bytes of UTF-8, not the units of a JavaScript string', () => {
    const hashOf = (bytes: Buffer) =>
      bytes.reduce(
        (hash, byte) => Number(((BigInt(hash ^ byte) & 0xffffffffn) * 0x01000193n) & 0xffffffffn),
        0x811c9dc5,
      )
    for (const key of ['é', 'user-é', '😀', 'a\u{10ffff}z']) {
      expect(partitionOf(key, 2 ** 32)).toBe(hashOf(Buffer.from(key)) >>> 0)
    }
  })
})
