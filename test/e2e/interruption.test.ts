// A run that is interrupted, locked out, or started again with something else.
// Interrupted runs have slices of one record, so that they are long enough to be in the middle of.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { holdfast, leftoversOf, Running, resultsIn, stressFile, summaryIn, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string): string => join(work.path, name)

beforeAll(async () => {
  work = await workDirectory()
  await stressFile(at('input.gz'), { lines: LINES })
  await stressFile(at('short.gz'), { lines: LINES / 10 })
  await writeFile(at('accept.json'), '{"anonymous": "accept"}')
})
afterAll(() => work[Symbol.asyncDispose]())

const LINES = 20_000
/** What is interrupted while it scores: test/kill. */
const PLAIN = '--no-scoring'
const PARTITIONS = ['--partitions', '2']
const runOf = (name: string, ...rest: string[]): string[] => [
  ...['run', '--input', at('input.gz'), '--out', at(`${name}-out`), '--drain', '--data-dir', at(`${name}-data`)],
  ...[PLAIN, ...rest],
]

/** Whether a task of the run has committed: there is state beside the log. */
const isInTheMiddle = (dataDir: string) => (): boolean => {
  const state = join(dataDir, 'state', 'user-1-0')
  if (!existsSync(state)) return false
  return readdirSync(state).some((name) => name.endsWith('.log') && readFileSync(join(state, name)).length > 10_000)
}

/** Starts a run, waits until it is in the middle, and sends a signal. */
async function interrupted(name: string, signal: NodeJS.Signals): Promise<Awaited<Running['ended']>> {
  const running = new Running(runOf(name, ...PARTITIONS, '--slice-records', '1', '--commit-records', '50'))
  await running.until(isInTheMiddle(at(`${name}-data`)), 'being in the middle')
  running.kill(signal)
  return running.ended
}

describe('a signal in the middle', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s: exit 130, no results, and the same command goes on', async (signal) => {
    const ended = await interrupted(signal, signal)
    // On a busy machine a line of its progress comes before.
    const [last] = ended.stderr.trimEnd().split('\n').slice(-1)
    expect(last).toBe(`holdfast: interrupted; the same command goes on from ${at(`${signal}-data`)}`)
    expect(ended.code).toBe(130)
    expect(existsSync(at(`${signal}-out`))).toBe(false)
    expect(await leftoversOf(at(`${signal}-data`))).toEqual([])

    expect((await holdfast(runOf(signal, ...PARTITIONS))).code).toBe(0)
    const summary = summaryIn(at(`${signal}-out`))
    expect(summary.starts).toBe(2)
    expect(summary.resumed_at_line).toBeGreaterThan(0)
    // It did not run to its end before it heard.
    expect(summary.resumed_at_line).toBeLessThan(LINES)

    if (!existsSync(at('whole-out'))) expect((await holdfast(runOf('whole', ...PARTITIONS))).code).toBe(0)
    expect(resultsIn(at(`${signal}-out`))).toEqual(resultsIn(at('whole-out')))
  })

  it('before there is anything to interrupt, and without a data directory: nothing is left', async () => {
    const running = new Running(['run', '--input', at('input.gz'), '--out', at('early-out'), '--drain'], {
      env: { TMPDIR: work.path },
    })
    const made = () => readdirSync(work.path).find((name) => name.startsWith('holdfast-run-'))
    await running.until(() => made() !== undefined, 'a work directory')
    const directory = made()!
    running.kill('SIGTERM')
    const { code, stderr } = await running.ended
    expect(stderr).toMatch(/^holdfast: interrupted; nothing was written[^\n]*\n$/)
    expect(code).toBe(130)
    expect(readdirSync(work.path)).not.toContain(directory)
    expect(existsSync(at('early-out'))).toBe(false)
    expect(await leftoversOf(directory)).toEqual([])
  })
})

describe('a data directory', () => {
  it.each<[string, (dir: string) => string[], RegExp]>([
    ['another file', () => ['--input', 'other', ...PARTITIONS], /was made from another input file/],
    [
      'other partitions',
      () => ['--input', at('input.gz'), '--partitions', '3'],
      /made with other partitions or another/,
    ],
    [
      'another configuration',
      () => ['--input', at('input.gz'), ...PARTITIONS, '--config', at('accept.json')],
      /another conf/,
    ],
    ['another namespace', () => ['--input', at('input.gz'), ...PARTITIONS, '--namespace', 'x'], /in another namespace/],
  ])('of %s is refused with the reason, and stays as it was', async (_, options, reason) => {
    if (!existsSync(at('whole-out'))) expect((await holdfast(runOf('whole', ...PARTITIONS))).code).toBe(0)
    await writeFile(at('other'), '{}\n')
    const before = readFileSync(at('whole-data/run.json'))
    const args = [
      'run',
      '--out',
      at('refused'),
      '--drain',
      PLAIN,
      '--data-dir',
      at('whole-data'),
      ...options(work.path),
    ]
    const { code, stderr } = await holdfast(args, { cwd: work.path })
    expect(stderr).toMatch(reason)
    expect(stderr).toMatch(/^holdfast: [^\n]+use another --data-dir\n$/)
    expect(code).toBe(2)
    expect(existsSync(at('refused'))).toBe(false)
    expect(readFileSync(at('whole-data/run.json'))).toEqual(before)
  })

  it('of a run is refused to a node, and the other way round', async () => {
    if (!existsSync(at('whole-out'))) expect((await holdfast(runOf('whole', ...PARTITIONS))).code).toBe(0)
    const node = await holdfast(['node', '--data-dir', at('whole-data')])
    expect(node.stderr).toMatch(/^holdfast: [^\n]*holds no node of Holdfast[^\n]*\n$/)
    expect(node.code).toBe(2)
  })

  it('goes to one process: a second one says so in one line, does not count as a start, and the first goes on', async () => {
    const locked = runOf('locked', ...PARTITIONS).map((word) => (word === at('input.gz') ? at('short.gz') : word))
    const first = new Running([...locked, '--slice-records', '1', '--commit-records', '50'])
    await first.until(isInTheMiddle(at('locked-data')), 'being in the middle')
    first.kill('SIGSTOP')
    const second = await holdfast(locked)
    first.kill('SIGCONT')
    expect(second.stderr).toMatch(/^holdfast: STATE_LOCKED: [^\n]+stop the other process, or use another --data-dir\n$/)
    expect(second.code).toBe(2)
    expect((await first.ended).code).toBe(0)
    expect(summaryIn(at('locked-out')).starts).toBe(1)
    expect(JSON.parse(readFileSync(at('locked-data/run.json'), 'utf8')).starts).toBe(1)
  })

  it('a finished run said again gives the same results', async () => {
    if (!existsSync(at('whole-out'))) expect((await holdfast(runOf('whole', ...PARTITIONS))).code).toBe(0)
    const before = resultsIn(at('whole-out'))
    await cp(at('whole-data'), at('again-data'), { recursive: true })
    expect((await holdfast(runOf('again', ...PARTITIONS))).code).toBe(0)
    expect(resultsIn(at('again-out'))).toEqual(before)
  })
})

it('two runs side by side without a data directory do not meet', async () => {
  const run = (out: string) => holdfast(['run', '--input', at('input.gz'), '--out', at(out), '--drain', PLAIN])
  const ended = await Promise.all([run('left'), run('right')])
  expect(ended.map(({ code }) => code)).toEqual([0, 0])
  expect(resultsIn(at('left'))).toEqual(resultsIn(at('right')))
  expect(tmpdir()).not.toBe(work.path)
})
