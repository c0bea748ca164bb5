import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addExact, ByteReader, ByteWriter, type Exact, multiplyExact } from './bytes.ts'

const small = fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.constantFrom(0, 127, 128, 2 ** 32, 2 ** 50 - 1, 2 ** 50))
/** Whole numbers in their one form. */
const exacts: fc.Arbitrary<Exact> = fc.oneof(
  small.map((x) => x + 0),
  fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n }).map((x) => {
    const n = Number(x)
    return Number.isSafeInteger(n) ? n : x
  }),
)

function bytesOf(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter()
  write(writer)
  return writer.done()
}

test('bytes for one commit are the same bytes, and later ones leave them alone', () => {
  const texts = [0, 1, 60, 70, 5_000, 100_000].map((length) => 'é'.repeat(length))
  const brief = texts.map((text) => {
    const writer = new ByteWriter()
    writer.text(text)
    return writer.doneForOneCommit()
  })
  expect(brief.map((bytes) => Buffer.from(bytes).toString('hex'))).toEqual(
    texts.map((text) => Buffer.from(bytesOf((writer) => writer.text(text))).toString('hex')),
  )
})

const CORRUPT = expect.objectContaining({ code: 'STATE_CORRUPT' })

describe('sums and products', () => {
  test('are those of whole numbers, in one form', () => {
    fc.assert(
      fc.property(exacts, exacts, (a, b) => {
        for (const [result, exact] of [
          [addExact(a, b), BigInt(a) + BigInt(b)],
          [multiplyExact(a, b), BigInt(a) * BigInt(b)],
        ] as const) {
          expect(BigInt(result)).toBe(exact)
          expect(typeof result).toBe(Number.isSafeInteger(Number(exact)) ? 'number' : 'bigint')
          expect(result).not.toBe(-0)
        }
      }),
    )
    expect(multiplyExact(-1, 0)).toBe(0)
    expect(addExact(2 ** 53 - 1, 1)).toBe(2n ** 53n)
    expect(addExact(2n ** 53n, -1)).toBe(2 ** 53 - 1)
  })
})

describe('bytes', () => {
  test('what was written is read', () => {
    fc.assert(
      fc.property(fc.array(exacts), fc.array(fc.string({ unit: 'grapheme' })), (numbers, texts) => {
        const bytes = bytesOf((writer) => {
          writer.varint(numbers.length)
          for (const one of numbers) writer.exact(one)
          writer.varint(texts.length)
          for (const one of texts) writer.text(one)
        })
        const reader = new ByteReader(bytes)
        expect(reader.list(() => reader.exact())).toStrictEqual(numbers)
        expect(reader.list(() => reader.text())).toStrictEqual(texts)
        expect(reader.atEnd).toBe(true)
      }),
    )
  })

  test('at every size', () => {
    for (let bits = 0n; bits < 300n; bits++) {
      for (const near of [-1n, 0n, 1n]) {
        for (const sign of [1n, -1n]) {
          const value = addExact(0, sign * (2n ** bits + near))
          expect(new ByteReader(bytesOf((writer) => writer.exact(value))).exact()).toBe(value)
        }
      }
    }
  })

  test('golden', () => {
    const hex = (write: (writer: ByteWriter) => void) => Buffer.from(bytesOf(write)).toString('hex')
    expect(hex((writer) => writer.varint(300))).toBe('ac02')
    expect(hex((writer) => writer.varint(2 ** 53 - 1))).toBe('ffffffffffffff0f')
    expect(hex((writer) => writer.exact(-5))).toBe('16')
    expect(hex((writer) => writer.exact(2n ** 64n))).toBe('25010000000000000000')
    expect(hex((writer) => writer.exact(-(2n ** 64n)))).toBe('27010000000000000000')
    expect(hex((writer) => writer.text('aé'))).toBe('0361c3a9')
  })

  test.each([-1, 1.5, 2 ** 53, Number.NaN])('%d is no varint', (value) => {
    expect(() => bytesOf((writer) => writer.varint(value))).toThrow('a varint is a whole number')
  })

  test('other bytes are STATE_CORRUPT or values, and never anything else', () => {
    const reads = [
      (reader: ByteReader) => reader.varint(),
      (reader: ByteReader) => reader.exact(),
      (reader: ByteReader) => reader.text(),
      (reader: ByteReader) => reader.list(() => reader.text()),
    ]
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.constantFrom(...reads), (bytes, read) => {
        try {
          read(new ByteReader(bytes))
        } catch (error) {
          expect(error).toEqual(CORRUPT)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test.each<[string, number[], (reader: ByteReader) => unknown]>([
    ['nothing', [], (reader) => reader.varint()],
    ['a number that goes on', [0x80], (reader) => reader.varint()],
    ['zeros without end', new Array(300).fill(0x80), (reader) => reader.varint()],
    ['a number of 54 bits', [...new Array(7).fill(0xff), 0x1f], (reader) => reader.varint()],
    ['a text cut short', [2, 0x61], (reader) => reader.text()],
    ['a number cut short', [0x25, 1], (reader) => reader.exact()],
    ['a list of 2^35', [0x80, 0x80, 0x80, 0x80, 0x80, 1], (reader) => reader.list(() => reader.varint())],
  ])('%s', (_, bytes, read) => {
    expect(() => read(new ByteReader(Uint8Array.from(bytes)))).toThrow(CORRUPT)
  })
})
