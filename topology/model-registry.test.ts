// The output `models` as whoever decides reads it: every record once, of every partition, whatever the log does meanwhile.

import { expect, it } from 'vitest'
import { type Log, type LogMessage, LogUnavailable } from '../log/log.ts'
import { ModelOutput } from './model-registry.ts'

/** Streams by partition, a message each text; what was asked for. */
function logOf(streams: readonly (readonly string[])[], firstSeq = 1) {
  const asked: string[] = []
  /** Messages that cannot be had yet. */
  const away = new Set<string>()
  const partitionOf = (stream: string): number => Number(stream.split('_').at(-1))
  const log = {
    async streamState(stream: string) {
      const texts = streams[partitionOf(stream)]
      return texts === undefined ? null : { firstSeq, lastSeq: texts.length }
    },
    async message(stream: string, seq: number): Promise<LogMessage> {
      const place = `${partitionOf(stream)}: ${seq}`
      asked.push(place)
      if (away.delete(place)) throw new LogUnavailable('the broker is away')
      const payload = Buffer.from(streams[partitionOf(stream)]![seq - 1]!)
      return { payload, subject: stream, seq, timeMs: 100 * seq } as unknown as LogMessage
    },
  } as unknown as Log
  return { output: new ModelOutput(log, 'ns'), asked, away }
}

const recordOf = (version: number) => ({ kind: 'published', version, sha256: 'ab' })
const text = (...versions: number[]): string => JSON.stringify(versions.map(recordOf))
const versionsOf = async (output: ModelOutput) =>
  (await output.read()).map(({ record }) => (record as { version?: number }).version)

it('reads what is new in each partition, once; a message is a record or several', async () => {
  const streams = [[text(1, 2)], [JSON.stringify(recordOf(3))], []] as string[][]
  const { output } = logOf(streams)
  expect(await versionsOf(output)).toEqual([1, 2, 3])
  expect(await versionsOf(output)).toEqual([])
  streams[0]!.push(text(4))
  streams[2]!.push(text(5))
  expect(await versionsOf(output)).toEqual([4, 5])
})

it('reads nothing where the log does not answer for one of them, and all of it the next time', async () => {
  const { output, away } = logOf([[text(1)], [text(2)]])
  away.add('1: 1')
  await expect(output.read()).rejects.toBeInstanceOf(LogUnavailable)
  expect(await versionsOf(output)).toEqual([1, 2])
})

it('does not ask for what was trimmed', async () => {
  const { output, asked } = logOf([[text(1), text(2), text(3)]], 3)
  expect(await versionsOf(output)).toEqual([3])
  expect(asked).toEqual(['0: 3'])
})

it.each([
  ['of no hash', { kind: 'published', version: 1 }],
  ['of no version', { kind: 'published', version: 0, sha256: 'ab' }],
  ['of another kind', { kind: 'other', version: 1, sha256: 'ab' }],
])('what is %s was written by somebody else', async (_, record) => {
  await expect(logOf([[JSON.stringify(record)]]).output.read()).rejects.toMatchObject({ code: 'FOREIGN_WRITE' })
})
