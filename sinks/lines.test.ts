// Lines as contract.md, section 1 has them, and L2: however the file is cut into chunks.

import { describe, expect, it } from 'vitest'
import { LINE_BYTES_KEPT, linesOf } from './lines.ts'

interface Read {
  readonly lines: readonly { readonly number: number; readonly text: string; readonly blank: boolean }[]
  readonly count: number
}

async function read(text: string, chunkBytes: number, skip = 0): Promise<Read> {
  const bytes = Buffer.from(text)
  async function* chunks() {
    // One buffer for all chunks, as a reader may have: what is kept across chunks must be a copy.
    const buffer = Buffer.alloc(chunkBytes)
    for (let from = 0; from < bytes.length; from += chunkBytes) {
      const length = bytes.copy(buffer, 0, from, from + chunkBytes)
      yield buffer.subarray(0, length)
    }
  }
  const lines: Read['lines'][number][] = []
  const batches = linesOf(chunks(), skip)
  for (;;) {
    const next = await batches.next()
    if (next.done) return { lines, count: next.value }
    for (const { number, bytes: line, blank } of next.value) {
      lines.push({ number, text: Buffer.from(line).toString(), blank })
    }
  }
}

const SIZES = [1, 2, 3, 7, 1 << 20]
const kept = LINE_BYTES_KEPT

describe.each(SIZES)('in chunks of %i bytes', (size) => {
  it.each([
    ['nothing', '', []],
    ['one line', 'a\n', ['a']],
    ['no last LF', 'a\nb', ['a', 'b']],
    ['CRLF', 'a\r\nb\r\n', ['a', 'b']],
    ['only one CR is dropped', 'a\r\r\nb', ['a\r', 'b']],
    ['CR alone ends nothing', 'a\rb\n', ['a\rb']],
    ['CR at the end of the file is no line end', 'a\r', ['a\r']],
    ['empty lines count', '\n\na\n\n', ['', '', 'a', '']],
    ['UTF-8', 'é\n😀', ['é', '😀']],
  ])('%s', async (_, text, expected) => {
    const { lines, count } = await read(text, size)
    expect(lines.map((line) => line.text)).toEqual(expected)
    expect(lines.map(({ number }) => number)).toEqual(expected.map((__, i) => i + 1))
    expect(count).toBe(expected.length)
  })

  it('blank are empty lines and lines of only spaces and tabs, with or without CR', async () => {
    const { lines } = await read('\n \t\n\r\n \r\n\r\r\n \v\nx\n  ', size)
    expect(lines.map(({ blank }) => blank)).toEqual([true, true, true, true, false, false, false, true])
  })

  it('skips lines but counts them', async () => {
    for (let skip = 0; skip <= 4; skip++) {
      const { lines, count } = await read('a\nb\nc', size, skip)
      expect(lines.map(({ number }) => number)).toEqual([1, 2, 3].slice(skip))
      expect(count).toBe(3)
    }
  })
})

describe.each([1000, 64 * 1024, 1 << 20])('huge lines in chunks of %i bytes', (size) => {
  it.each([
    ['as long as is kept', 'x'.repeat(kept), 'x'.repeat(kept), false],
    ['as long, and CR', `${'x'.repeat(kept)}\r`, 'x'.repeat(kept), false],
    ['longer', 'x'.repeat(kept + 1), 'x'.repeat(kept), false],
    ['much longer', 'x'.repeat(4 * kept), 'x'.repeat(kept), false],
    ['blanks, then something', `${' '.repeat(kept + 5)}x`, ' '.repeat(kept), false],
    ['blanks only', ' '.repeat(4 * kept), ' '.repeat(kept), true],
    ['blanks and CR', `${' '.repeat(2 * kept)}\r`, ' '.repeat(kept), true],
  ])('%s', async (_, text, expected, blank) => {
    const { lines, count } = await read(`a\n${text}\nb\n${text}`, size)
    expect(count).toBe(4)
    const [, middle, b, end] = lines
    expect({ same: middle!.text === expected, blank: middle!.blank }).toEqual({ same: true, blank })
    expect(b!.text).toBe('b')
    expect(end!.text.startsWith(expected.slice(0, kept))).toBe(true)
    expect(end!.text.length).toBeLessThanOrEqual(kept)
  })
})
