// When a task trims its input, and how far: a log and a backend that only write down what they are asked.

import { expect, it } from 'vitest'
import type { Log } from '../log/log.ts'
import type { Backend } from '../state/backend.ts'
import { InputTrim, lowestNeeded } from './input-trim.ts'

const EVERY_BYTES = 100

/** A commit at a position that has heard its one writer there. */
const at = (seq: number, writerSeq = seq) => ({
  position: { seq, applied: 1, digest: '', created: '' },
  writers: { file: { number: 1, chain: '', watermark: 0, seq: writerSeq, drained: false } },
})

function trimOf(flush: () => Promise<void> = async () => {}) {
  const done: string[] = []
  const log = { trim: async (stream: string, below: number) => void done.push(`${stream} below ${below}`) }
  const backend = {
    flush: async () => {
      done.push('flush')
      await flush()
    },
  }
  const trim = new InputTrim(log as unknown as Log, backend as unknown as Backend, 's', EVERY_BYTES)
  return { trim, done }
}

it('flushes, then trims below the commit, once enough of the input is committed', async () => {
  const { trim, done } = trimOf()
  trim.applied(EVERY_BYTES - 1)
  trim.committed(at(4), trim.appliedBytes)
  await trim.settled()
  expect(done).toEqual([])
  trim.applied(1)
  trim.committed(at(5), trim.appliedBytes)
  await trim.settled()
  expect(done).toEqual(['flush', 's below 5'])
})

it('does not count what is applied but not committed: the commit that covers it trims again', async () => {
  const { trim, done } = trimOf()
  trim.applied(EVERY_BYTES)
  const covered = trim.appliedBytes
  trim.applied(9 * EVERY_BYTES)
  trim.committed(at(4), covered)
  await trim.settled()
  trim.committed(at(13), trim.appliedBytes)
  await trim.settled()
  expect(done).toEqual(['flush', 's below 4', 'flush', 's below 13'])
})

it('trims again when a commit made it due during a trim, though no further commit follows', async () => {
  const flushed = Promise.withResolvers<void>()
  const { trim, done } = trimOf(() => flushed.promise)
  trim.applied(EVERY_BYTES)
  trim.committed(at(4), trim.appliedBytes)
  trim.applied(EVERY_BYTES)
  trim.committed(at(9), trim.appliedBytes)
  flushed.resolve()
  await trim.settled()
  expect(done).toEqual(['flush', 's below 4', 'flush', 's below 9'])
})

it('IT4: what a writer has held up is trimmed with its next frame, however short that is', async () => {
  const { trim, done } = trimOf()
  for (let seq = 2; seq <= 9; seq++) {
    trim.applied(EVERY_BYTES)
    trim.committed(at(seq, 1), trim.appliedBytes)
    await trim.settled()
  }
  expect(done).toEqual([])
  trim.applied(1)
  trim.committed(at(10, 10), trim.appliedBytes)
  await trim.settled()
  expect(done).toEqual(['flush', 's below 10'])
})

it('IT4: what is worth it is what lies below a writer, as far as commits know, and no file is made for less', async () => {
  const { trim, done } = trimOf()
  const commitAt = async (seq: number, writerSeq: number, bytes: number) => {
    trim.applied(bytes)
    trim.committed(at(seq, writerSeq), trim.appliedBytes)
    await trim.settled()
  }
  for (let seq = 1; seq <= 40; seq++) await commitAt(seq, 1, EVERY_BYTES / 10)
  await commitAt(41, 9, 0)
  expect(done).toEqual([])
  await commitAt(42, 10, 0)
  expect(done).toEqual(['flush', 's below 10'])
  await commitAt(43, 19, 0)
  expect(done).toHaveLength(2)
  await commitAt(44, 20, 0)
  expect(done.slice(2)).toEqual(['flush', 's below 20'])
})

it('leaves a failed trim to the next commit', async () => {
  let fails = true
  const { trim, done } = trimOf(async () => {
    if (fails) throw new Error('no room')
  })
  trim.applied(EVERY_BYTES)
  trim.committed(at(4), trim.appliedBytes)
  await trim.settled()
  fails = false
  trim.committed(at(5), trim.appliedBytes)
  await trim.settled()
  expect(done).toEqual(['flush', 'flush', 's below 5'])
})

it('keeps the last frame of every writer, and everything while one was never heard', () => {
  expect(lowestNeeded(at(9, 3))).toBe(3)
  expect(lowestNeeded(at(9, 0))).toBe(0)
})
