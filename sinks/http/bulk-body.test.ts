// Events in a body, however it was cut into chunks: the elements of an array, against JSON.parse.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LINE_BYTES_KEPT } from '../lines.ts'
import { boundedChunks, eventElements, eventLines } from './bulk-body.ts'

type Finder = (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array[]>

/** What is found, as text, where the body comes in pieces of these sizes, again and again. */
async function found(find: Finder, body: string | Buffer, sizes: readonly number[] = [7]): Promise<string[]> {
  async function* chunks() {
    const bytes = Buffer.from(body as string)
    for (let from = 0, i = 0; from < bytes.length; i++) {
      // One memory for all: what is kept of a chunk has to be a copy.
      const chunk = Buffer.from(bytes.subarray(from, from + sizes[i % sizes.length]!))
      from += chunk.length
      yield chunk
      if (i % 2 === 0) chunk.fill(0x21)
    }
  }
  const events: string[] = []
  for await (const each of find(chunks())) events.push(...each.map((bytes) => Buffer.from(bytes).toString('latin1')))
  return events
}

const Sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })

it('the elements of an array are found however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue()), Sizes, fc.nat(2), async (values, sizes, indent) => {
      const text = JSON.stringify(values, null, indent)
      const elements = await found(eventElements, text, sizes)
      expect(elements.map((element) => JSON.parse(Buffer.from(element, 'latin1').toString()))).toEqual(JSON.parse(text))
    }),
  )
})

it.each([
  ['lines', eventLines, 'a\r\n\n \t\nb', ['a', 'b']],
  ['an empty array', eventElements, ' [ ] ', []],
  ['what is no JSON', eventElements, '[{"a":},nope, "x]" ,{"b":"\\"]"}]', ['{"a":}', 'nope', '"x]"', '{"b":"\\"]"}']],
])('%s', async (_, find, body, events) => {
  expect(await found(find, body)).toEqual(events)
})

it.each(['', '7', '{"type":"click"}', '[1', '[1,]', '[,1]', '[1,,2]', '[1] 2', '[1]]', '["a]', '[{"a":1]'])(
  'what is no array from first to last: %s',
  async (body) => {
    await expect(found(eventElements, body)).rejects.toMatchObject({ facts: { status: 400, code: 'BAD_JSON' } })
  },
)

it('of an event only so much is kept, in a line as in an array', async () => {
  const long = `"${'x'.repeat(2 * LINE_BYTES_KEPT)}"`
  for (const [find, body] of [
    [eventLines, `${long}\n1`],
    [eventElements, `[${long},1]`],
  ] as const)
    expect(await found(find, body, [50_000])).toEqual([long.slice(0, LINE_BYTES_KEPT), '1'])
})

it('chunks end where there are too many bytes of them', async () => {
  const cut = (chunks: AsyncIterable<Uint8Array>) => eventLines(boundedChunks(chunks, 10))
  expect(await found(cut, '1\n2\n3\n4\n5\n', [4])).toHaveLength(5)
  await expect(found(cut, '1\n2\n3\n4\n5\n6', [4])).rejects.toMatchObject({
    facts: { status: 413, code: 'BODY_TOO_LARGE' },
  })
})
