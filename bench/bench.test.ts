// The bench as a program, on a few thousand events: it measures every part, sees outputs that differ, and leaves nothing behind.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DEFAULT_TUNING, type TaskTuning } from '../topology/task.ts'
import { DATASETS, SHOP_FILE } from './datasets.ts'
import {
  assertEqualOutputs,
  forgetRun,
  OUTPUT_KINDS,
  type Outputs,
  openHost,
  outputsOf,
  startAndCatchUp,
} from './graph-run.ts'
import { joinerLines, SHARES, SPAN_DAYS } from './joiner-input.ts'
import { benchPlan } from './plan.ts'
import { withSection } from './report.ts'
import { openBroker, publishLines } from './stream.ts'

const MAIN = join(import.meta.dirname, 'main.ts')
const run = promisify(execFile)

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-bench-test-'))
})
afterAll(() => rm(dir, { recursive: true }))

/** Runs the bench with a directory of temporary files of its own. */
async function bench(...args: string[]) {
  const json = join(dir, 'bench.json')
  const { stdout } = await run(process.execPath, [MAIN, ...args, '--json', json], {
    env: { ...process.env, TMPDIR: dir },
  })
  return { stdout, results: JSON.parse(await readFile(json, 'utf8')) }
}

const SHA256 = /^[0-9a-f]{64}$/

it('measures what is read, parsed and processed, with CPU beside time, and clears up', async () => {
  const { stdout, results } = await bench(
    '--quick',
    '--only',
    'throughput',
    '--events',
    '2000',
    '--cell',
    'generated-100',
    '--partitions',
    '2',
    '--threads',
    '2',
  )
  const [cell] = results.throughput
  expect(results.machine).toMatchObject({ node: process.version, natsServer: expect.stringContaining('nats-server') })
  expect(cell).toMatchObject({ messages: 21, task: { events: 2000, perMessage: 100, partitions: 2, threads: 2 } })
  for (const kind of OUTPUT_KINDS) expect(cell.outputs[kind]).toMatch(SHA256)
  for (const name of ['consume', 'consume-and-parse', 'page-view graph', 'graph, trimming']) {
    expect(cell.samples[name]).toHaveLength(1)
    expect(cell.samples[name][0].seconds).toBeGreaterThan(0)
    expect(stdout).toMatch(new RegExp(`generated +frames of 100 +${name} +2 +[12] +[\\d,]+ `))
  }
  expect(cell.samples['page-view graph'][0].nodeCpuSeconds).toBeGreaterThan(0)
  expect(await readdir(dir)).toEqual(['bench.json'])
})

it('starts a new process on a state of many keys', async () => {
  const { stdout, results } = await bench('--quick', '--only', 'restart', '--keys', '3000', '--threads', '2')
  const [{ keys, build, restart }] = results.restart
  expect(keys).toBe(3000)
  for (const sample of [build, restart]) {
    expect(sample.firstRecordSeconds).toBeGreaterThan(0)
    expect(sample.rssMiB).toBeGreaterThan(20)
  }
  expect(stdout).toMatch(/3,000 +starts on it +2 +10,000 /)
  expect(await readdir(dir)).toEqual(['bench.json'])
})

it('measures the front door of a node with the load in another process, and the CPU of all three', async () => {
  const { stdout, results } = await bench('--quick', '--only', 'door', '--threads', '2')
  const cells: { readonly name: string; readonly offeredPerSecond: number | null; readonly done: number }[] =
    results.door
  expect(cells.map(({ name, offeredPerSecond }) => [name.split(',')[0], offeredPerSecond !== null])).toEqual([
    ['ingest', false],
    ['publish to readable by user', true],
    ['publish to readable by page', true],
    ['point reads', false],
    ['reads of 100 keys', false],
    ['point reads over NATS', false],
    ['point reads', true],
    ['reads of 100 keys', true],
    ['point reads', true],
    ['point reads', true],
  ])
  for (const cell of cells) {
    expect(cell).toMatchObject({ done: expect.any(Number), p99Ms: expect.any(Number) })
    expect(cell.done).toBeGreaterThan(0)
  }
  expect(results.door[0].nodeCpuSeconds).toBeGreaterThan(0)
  expect(results.door[0].clientCpuSeconds).toBeGreaterThan(0)
  expect(stdout).toMatch(/publish to readable by page, beside 20,000 events\/s +50 /)
  expect(await readdir(dir)).toEqual(['bench.json'])
})

it('measures the full path, in which conversions are credited and rows of every kind fall due', async () => {
  const { stdout, results } = await bench('--quick', '--only', 'joiner', '--events', '3000', '--threads', '2')
  expect(results.joiner.map(({ task }: { task: { perMessage: number } }) => task.perMessage)).toEqual([100, 1])
  for (const { samples, touches, attributed, rows, stateBytes, rssMiB } of results.joiner) {
    expect(samples['full path'][0].nodeCpuSeconds).toBeGreaterThan(samples['consume-and-parse'][0].nodeCpuSeconds)
    for (const count of [touches, attributed, rows.O, rows.D, rows.M, stateBytes['user-2'], rssMiB])
      expect(count).toBeGreaterThan(0)
  }
  expect(stdout).toMatch(/frames of 100 +full path +2 +[\d,]+ +0\.\d{3} +0\.\d{3} /)
  expect(await readdir(dir)).toEqual(['bench.json'])
})

it('the input of the joiner has the shares that are said, in the order of time, over the days that are said', () => {
  const counts: Record<string, number> = {}
  let [first, last] = [Number.POSITIVE_INFINITY, 0]
  for (const line of joinerLines(20_000)) {
    const { type, event_time } = JSON.parse(line)
    counts[type] = (counts[type] ?? 0) + 1
    first = Math.min(first, event_time)
    expect(event_time).toBeGreaterThanOrEqual(last)
    last = event_time
  }
  expect(Math.round((last - first) / 86_400_000)).toBe(SPAN_DAYS)
  for (const [type, percent] of Object.entries(SHARES)) expect(Math.abs(counts[type]! / 200 - percent)).toBeLessThan(1)
})

it('weighs what a run leaves, beside what the model of capacity says', async () => {
  const { stdout, results } = await bench('--only', 'capacity', '--events', '2000')
  const [idle, frames, single] = results.capacity
  expect([idle.name, frames.name, single.name]).toEqual(['idle node', 'frames of 100', 'single'])
  for (const { measured, promised } of [...frames.comparisons, ...single.comparisons]) {
    expect(measured).toBeGreaterThan(0)
    expect(promised).toBeGreaterThan(0)
  }
  expect(stdout).toMatch(/single +accepted events +bytes an event +\d+\.\d\d +\d+\.\d\d +\d+\.\d\d\n/)
  expect(await readdir(dir)).toEqual(['bench.json'])
})

it.each([
  [['--only', 'everything'], /--only.*invalid/],
  [['--cell', 'shop-10d-7'], /--cell.*invalid/],
  [['--events', 'many'], /^bench: --events must be a whole number/],
])('refuses %j in one line, exit 2', async (args, line) => {
  const error = await run(process.execPath, [MAIN, ...args]).catch((error) => error)
  expect(error).toMatchObject({ code: 2, stderr: expect.stringMatching(line) })
  expect(error.stderr.trimEnd().split('\n')).toHaveLength(1)
})

describe('outputs', () => {
  const tunings: readonly TaskTuning[] = [{ ...DEFAULT_TUNING, sliceMax: 3, commitRecordsMax: 40 }, DEFAULT_TUNING]

  /** Of one input, by each of the tunings. */
  async function outputsBy(name: string, lines: readonly string[]): Promise<Outputs[]> {
    const stateDir = join(dir, name, 'state')
    const plan = benchPlan(2)
    const broker = await openBroker(join(dir, name, 'nats'), plan, { events: lines.length, durable: false })
    const { log, connection, specs } = broker
    const all: Outputs[] = []
    try {
      await publishLines(log, plan, { lines, perMessage: 10 })
      for (const [i, tuning] of tunings.entries()) {
        const options = { plan, log, connection, threads: i + 1, stateDir, tuning }
        await forgetRun(options, specs)
        const host = openHost(options)
        await startAndCatchUp(host, plan, lines.length)
        all.push(await outputsOf(host, options))
        await host.stop()
        await host.close()
      }
      return all
    } finally {
      await broker.close()
      await rm(join(dir, name), { recursive: true })
    }
  }

  it('are equal for other cuts and threads, and every kind differs where the input does', async () => {
    const lines = [...DATASETS.generated(600)]
    const [slow, usual] = await outputsBy('as-it-is', lines)
    assertEqualOutputs(usual!, slow!)
    const spoiled = lines.with(-1, '{"type":"page_view"}').with(-2, lines.at(-3)!)
    const [other] = await outputsBy('spoiled', spoiled)
    for (const kind of OUTPUT_KINDS) {
      expect(() => assertEqualOutputs({ ...slow!, [kind]: other![kind] }, slow!)).toThrow(`${kind} differ`)
    }
  })
})

describe.each(Object.entries(DATASETS))('%s', (name, linesOf) => {
  it.runIf(name !== 'shop-10d' || existsSync(SHOP_FILE))(
    'has as many events as asked for, no two with one id, none in the future',
    () => {
      const ids = new Set<string>()
      let newest = 0
      for (const line of linesOf(100_000)) {
        const { user_id, type, event_id, event_time } = JSON.parse(line)
        ids.add(`${user_id} ${type} ${event_id}`)
        newest = Math.max(newest, event_time)
      }
      expect(ids.size).toBe(100_000)
      expect(newest).toBeLessThan(Date.UTC(2025, 2, 6))
    },
  )
})

it('the page of figures keeps what is around the marks', () => {
  const page = 'a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb\n'
  const once = withSection(page, 'npm run bench', 'table')
  expect(once).toBe(
    'a\n<!-- bench: begin -->\nPrinted by `npm run bench`:\n\n```text\ntable\n```\n<!-- bench: end -->\nb\n',
  )
  expect(withSection(once, 'npm run bench', 'table')).toBe(once)
  const two = `${page}<!-- x: begin -->\n<!-- x: end -->\n`
  expect(withSection(two, 'c', 'table', 'x')).toBe(
    `${page}<!-- x: begin -->\nPrinted by \`c\`:\n\n\`\`\`text\ntable\n\`\`\`\n<!-- x: end -->\n`,
  )
  expect(() => withSection('no marks', 'npm run bench', 'table')).toThrow('no <!-- bench: begin -->')
})
