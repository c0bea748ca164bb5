// Memory as a limit, and the capacity command, from outside: what is refused says the option and the sum.

import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { processMemory } from '../../topology/capacity.ts'
import { holdfast, resultsIn, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string): string => `${work.path}/${name}`
beforeAll(async () => {
  work = await workDirectory()
  await holdfast(['generate', '--out', at('input.ndjson'), '--events', String(EVENTS)])
})
afterAll(() => work[Symbol.asyncDispose]())

/** More than an open segment holds: the run must seal one, which takes a filter. */
const EVENTS = 40_000
/** What the process takes on one thread, and a kilobyte. */
const TINY = String(processMemory(1).total + 1_024)
/** Also enough for the smallest filter, of two megabytes. */
const ENOUGH = String(processMemory(1).total + 64 * 2 ** 20)
const ONE_LINE = /^[^\n]+\n$/

const runOf = (out: string, ...rest: string[]) =>
  holdfast([
    'run',
    '--input',
    at('input.ndjson'),
    '--drain',
    '--out',
    at(out),
    '--threads',
    '1',
    '--no-scoring',
    '--json',
    ...rest,
  ])

describe('--memory', () => {
  it('too small for the process: exit 2 with the sum, nothing written', async () => {
    const { code, stderr } = await holdfast(['node', '--data-dir', at('none'), '--memory', '200M', '--threads', '2'])
    expect(stderr).toMatch(ONE_LINE)
    expect(stderr).toMatch(/^holdfast: --memory 200 MiB is less than the process takes: process .* = 410 MiB\n$/)
    expect(code).toBe(2)
    expect(existsSync(at('none'))).toBe(false)
  })

  it('too small for the ids that are expected: exit 2 with the sum', async () => {
    const ids = ['--expect-ids-per-day', '10000000']
    const { code, stderr } = await holdfast(['node', '--data-dir', at('none'), '--memory', '500M', ...ids])
    expect(stderr).toMatch(ONE_LINE)
    expect(stderr).toMatch(
      /10,000,000 ids a day x 14 days x 1 .* x 3.773 bytes = 528,\d+,\d+ bytes > .*--memory 500 MiB/,
    )
    expect(code).toBe(2)
    expect(existsSync(at('none'))).toBe(false)
  })

  it('outgrown by a run: it halts with the sum and goes on with more; a state that no longer fits is refused', async () => {
    const directory = ['--data-dir', at('data')]
    const halted = await runOf('out', ...directory, '--memory', TINY)
    expect(halted.stderr).toMatch(ONE_LINE)
    expect(halted.stderr).toMatch(/^holdfast: FILTERS_FULL: .* 512 B of each of 2 tasks = .*--memory/)
    expect(halted.code).toBe(1)
    const done = await runOf('out', ...directory, '--memory', ENOUGH)
    expect(done.code).toBe(0)
    expect(await runOf('undisturbed')).toMatchObject({ code: 0 })
    expect(resultsIn(at('out'))).toEqual(resultsIn(at('undisturbed')))
    const refused = await runOf('again', ...directory, '--memory', TINY)
    expect(refused.stderr).toMatch(ONE_LINE)
    expect(refused.stderr).toMatch(
      /^holdfast: the state of user-1-0 does not fit: filters of [\d,]+ ids x 3.773 bytes = /,
    )
    expect(refused.code).toBe(2)
  })

  it.each(['lots', '0', '-1', '1.5.5G', '2P'])('%s is no number of bytes: exit 2', async (memory) => {
    const { code, stderr } = await runOf('none', `--memory=${memory}`)
    expect(stderr).toMatch(/^holdfast: --memory must be a number of bytes, like 536870912, 512M or 2G, not ".*\n$/)
    expect(code).toBe(2)
  })
})

describe('capacity', () => {
  const load = ['capacity', '--events-per-s', '100', '--users', '1000']

  it('prints every line with its sum, as text and as JSON', async () => {
    const { stdout, code } = await holdfast(load)
    expect(code).toBe(0)
    expect(stdout).toMatch(/ {2}seen ids +10.0 GiB {2}= 120,960,000 ids x 89 bytes/)
    const json = JSON.parse((await holdfast([...load, '--json', '--memory', '100G'])).stdout)
    const [seen] = json.state.lines
    expect(seen.factors.map(({ value }: { value: number }) => value)).toEqual([120_960_000, 89])
    expect(json).toMatchObject({ partitions: 1, fits: true, load: { eventsPerS: 100, peak: 3 } })
  })

  it('says whether it fits, and ends with 1 where it does not', async () => {
    const { stdout, code } = await holdfast([...load, '--memory', '512M'])
    expect(stdout).toMatch(/\nmemory: .* > 512 MiB: it does not fit\n$/)
    expect(code).toBe(1)
  })

  it.each([
    ['--windows', '1h,soon', /"soon" is no window/],
    ['--peak', '0.5', /--peak must be a number from 1 to 1000/],
    ['--skew', 'x', /--skew must be a number/],
    ['--users', '0', /--users must be a whole number/],
  ])('refuses %s %s in one line, exit 2', async (option, value, line) => {
    const { stderr, code } = await holdfast([...load, option, value])
    expect(stderr).toMatch(ONE_LINE)
    expect(stderr).toMatch(line)
    expect(code).toBe(2)
  })
})
