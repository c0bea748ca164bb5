// What a command asks at its start while the broker goes away and comes back.

import { expect, it } from 'vitest'
import { HoldfastError } from '../log/errors.ts'
import { LogUnavailable } from '../log/log.ts'
import { realRuntime } from '../log/runtime.ts'
import { askAtStart } from './broker.ts'

/** Answers after so many failures, and says how often it was asked and what was said. */
function asked(failures: number, error: Error = new LogUnavailable('timeout')) {
  const seen = { asked: 0, said: [] as string[] }
  const ask = async (): Promise<string> => {
    if (seen.asked++ < failures) throw error
    return 'answer'
  }
  const end = { requested: false, throwIfRequested: () => {} }
  const start = { runtime: realRuntime, say: (line: string) => seen.said.push(line), end }
  return { seen, ask, start }
}

it('is asked again until the broker is back, and says once what it waits for', async () => {
  const { seen, ask, start } = asked(3)
  expect(await askAtStart(start, ask)).toBe('answer')
  expect(seen).toEqual({ asked: 4, said: [expect.stringMatching(/^waiting for the broker: .*timeout/)] })
})

it('ends where the broker stays away, where somebody wants it to, and at once for what no waiting cures', async () => {
  const away = asked(Number.POSITIVE_INFINITY)
  await expect(askAtStart(away.start, away.ask, 50)).rejects.toThrow(LogUnavailable)
  expect(away.seen.asked).toBeGreaterThan(2)
  const stopped = asked(Number.POSITIVE_INFINITY)
  const throwIfRequested = (): void => {
    throw new Error('interrupted')
  }
  const end = { requested: true, throwIfRequested }
  await expect(askAtStart({ ...stopped.start, end }, stopped.ask)).rejects.toThrow('interrupted')
  expect(stopped.seen.asked).toBe(1)
  const wrong = asked(1, new HoldfastError('SETTINGS_DROPPED', 'another server'))
  await expect(askAtStart(wrong.start, wrong.ask)).rejects.toThrow('another server')
  expect(wrong.seen).toMatchObject({ asked: 1, said: [] })
})
