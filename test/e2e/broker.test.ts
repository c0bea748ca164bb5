// The broker as a user meets it: not there, too old, too small, full, taken away; and what the audit finds in its streams.

import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { jetstream } from '@nats-io/jetstream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'
import { compare, DEFAULTS, readInput, recompute } from '../oracle/oracle.ts'
import { holdfast, leftoversOf, Running, resultsIn, stressFile, summaryIn, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsHarness
const at = (name: string): string => join(work.path, name)

beforeAll(async () => {
  work = await workDirectory()
  nats = await natsHarness()
  await stressFile(at('input.gz'), { lines: 4_000 })
})
afterAll(async () => {
  await nats.close()
  await work[Symbol.asyncDispose]()
})

const runOn = (url: string, out: string, ...rest: string[]): string[] => [
  ...['run', '--input', at('input.gz'), '--out', at(out), '--drain', '--no-scoring', '--nats', url, '--json'],
  ...rest,
]

/** Something that greets like a nats-server of a version, and no more. */
async function greeting(version: string): Promise<{ url: string; server: Server }> {
  const server = createServer((socket) => {
    const info = { server_id: 'OLD', version, proto: 1, max_payload: 1_048_576, headers: true, jetstream: true }
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
    socket.on('data', (bytes) => {
      if (bytes.includes('PING')) socket.write('PONG\r\n')
    })
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

describe('a server that cannot be used is said at once', () => {
  it.each([
    ['nobody there', async () => `nats://127.0.0.1:${await freeLoopbackPort()}`, /connection refused/],
    ['no URL', async () => 'garbage:://', /Invalid URL/],
  ])('%s', async (_, url, complaint) => {
    const { code, stderr } = await holdfast(runOn(await url(), 'never'))
    expect(stderr).toMatch(complaint)
    expect(stderr).toMatch(/^holdfast: cannot use [^\n]+\n$/)
    expect(code).toBe(2)
    expect(existsSync(at('never'))).toBe(false)
  })

  it.each(['run', 'node'])('too old: %s', async (command) => {
    const { url, server } = await greeting('2.9.10')
    const args = command === 'run' ? runOn(url, 'never') : ['node', '--data-dir', at('old-node'), '--nats', url]
    const { code, stderr } = await holdfast(args)
    server.close()
    expect(stderr).toMatch(
      /^holdfast: SERVER_TOO_OLD: [^\n]*2\.9\.10[^\n]*; use nats-server 2\.12\.15 or newer[^\n]*\n$/,
    )
    expect(code).toBe(1)
  })

  it('too small for the streams: NO_ROOM, and no stream is left there', async () => {
    const small = await natsHarness({ maxStoreBytes: 8 << 20 })
    const { code, stderr } = await holdfast(runOn(small.url, 'never'))
    expect(stderr).toMatch(/^holdfast: NO_ROOM: [^\n]*--log-bytes[^\n]*\n$/)
    expect(code).toBe(1)
    const admin = await small.connect()
    expect(await admin.jsm.streams.names().next()).toEqual([])
    await admin.close()
    await small.close()
  })
})

describe('a log smaller than its input', () => {
  /** What the plan needs at least, and the input is four times that. Rows of labels, which a run keeps to its end, are left out. */
  const small = () => ['--log-bytes', String(8 << 20), '--config', at('off.json')]
  beforeAll(() => writeFile(at('off.json'), JSON.stringify({ attribution: 'off' })))

  it('is trimmed as the tasks go on; the audit begins where the streams begin', async () => {
    const input = at('long.ndjson')
    expect((await holdfast(['generate', '--out', input, '--events', '60000'])).code).toBe(0)
    const data = ['--data-dir', at('small-data')]
    const run = await holdfast([
      'run',
      '--input',
      input,
      '--out',
      at('small'),
      '--drain',
      ...small(),
      ...data,
      '--json',
    ])
    expect(run.stderr + String(run.code)).toBe('0')
    expect(compare(recompute(readInput(input), { ...DEFAULTS, attribution: null }), at('small'))).toEqual([])
    const { code, stdout } = await holdfast(['audit', ...data])
    expect(stdout).toMatch(/run_user-1_0 {2}file: .* [1-9]\d* records trimmed/)
    expect(stdout).toMatch(/no faults/)
    expect(code).toBe(0)
  })

  it('is refused where it could not go on', async () => {
    const { code, stderr } = await holdfast(runOn(nats.url, 'never', '--log-bytes', String(2 << 20)))
    expect(stderr).toMatch(/^holdfast: 2097152 bytes for the log are too few for this plan: \d+ or more\n$/)
    expect(code).toBe(2)
  })

  it('full of dead letters, which nobody empties: named, then LOG_FULL; a signal ends the wait sooner', async () => {
    await writeFile(at('garbage'), `${'x'.repeat(200_000)}\n`.repeat(20))
    const args = (name: string) => [
      'run',
      '--input',
      at('garbage'),
      '--out',
      at('full'),
      '--drain',
      ...small(),
      '--data-dir',
      at(name),
    ]
    const [patient, impatient] = [new Running(args('patient')), new Running(args('impatient'))]
    await impatient.says(/user-1-0 waits for room: run_out_dead_letters_0/)
    impatient.kill('SIGINT')
    const { code, stderr } = await impatient.ended
    expect(stderr).toMatch(/^holdfast: interrupted; the same command goes on from .*impatient$/m)
    expect(code).toBe(130)
    const full = await patient.ended
    expect(full.stderr).toMatch(
      /^holdfast: LOG_FULL: user-1-0 has waited .*stream=run_out_dead_letters_0.*--log-bytes.*$/m,
    )
    expect(full.code).toBe(1)
    expect(existsSync(at('full'))).toBe(false)
    expect(await leftoversOf(work.path)).toEqual([])
  })
})

it("a namespace that holds another run's log is refused, and that log stays", async () => {
  await stressFile(at('other.gz'), { lines: 500, seed: 9 })
  const first = runOn(nats.url, 'first', '--namespace', 'taken', '--data-dir', at('first-data'))
  expect((await holdfast(first)).code).toBe(0)
  for (const directory of [['--data-dir', at('second-data')], []]) {
    const second = runOn(nats.url, 'second', '--namespace', 'taken', ...directory)
    const { code, stderr } = await holdfast(second.map((word) => (word === at('input.gz') ? at('other.gz') : word)))
    expect(stderr).toMatch(/^holdfast: namespace taken holds another run [^\n]+\n$/)
    expect(code).toBe(2)
    expect(existsSync(at('second'))).toBe(false)
  }
  // What the refused ones left untouched is still whole, and still the first one's.
  const audit = await holdfast(['audit', '--data-dir', at('first-data'), '--nats', nats.url])
  expect([audit.code, audit.stdout]).toEqual([0, expect.stringMatching(/no faults/)])
})

it('a server that goes away in the middle and comes back: the same results', async () => {
  const own = await natsHarness()
  const running = new Running(runOn(own.url, 'away', '--slice-records', '1', '--commit-records', '50'))
  const admin = await own.connect()
  const streams = async () => (await admin.jsm.streams.names().next()).length
  while ((await streams()) === 0) await own.sleep(20)
  await own.sleep(200)
  await own.restart()
  expect((await running.ended).code).toBe(0)
  await admin.close()
  await own.close()
  expect((await holdfast(runOn(nats.url, 'there'))).code).toBe(0)
  expect(resultsIn(at('away'))).toEqual(resultsIn(at('there')))
})

describe('audit', () => {
  it("finds a stranger's message, and says where; explain and audit read the plan from the directory", async () => {
    const args = ['--namespace', 'audited', '--data-dir', at('audited-data'), '--partitions', '2']
    expect((await holdfast(runOn(nats.url, 'audited', ...args))).code).toBe(0)
    const audit = () => holdfast(['audit', '--data-dir', at('audited-data'), '--nats', nats.url])
    const clean = await audit()
    expect(clean.stdout).toMatch(/audited_user-1_1 {2}file: \d+ messages, \d+ records, 1 generations/)
    expect(clean.stdout).toMatch(/no faults/)
    expect(clean.code).toBe(0)

    const admin = await nats.connect()
    const js = jetstream(admin.nc)
    const { seq } = await js.publish('audited.pages.1.user-1-0', '["forged"]')
    const stranger = await js.publish('audited.pages.1.stranger', '["new"]')
    const output = await js.publish('audited.out.dead_letters.0', '{"code":"forged"}')
    await admin.close()

    const { code, stdout } = await audit()
    expect(code).toBe(1)
    const faults = stdout.split('\n').filter((line) => line.startsWith('FAULT'))
    expect(faults).toEqual([
      `FAULT audited_out_dead_letters_0 sequence ${output.seq}: a numbered writer wrote without a valid header`,
      `FAULT audited_pages_1 sequence ${seq}: a numbered writer wrote without a valid header`,
      `FAULT audited_pages_1 sequence ${stranger.seq}: nobody of the plan writes to audited.pages.1.stranger`,
    ])
    const asJson = await holdfast(['audit', '--data-dir', at('audited-data'), '--nats', nats.url, '--json'])
    expect(JSON.parse(asJson.stdout).faults).toHaveLength(3)
    expect(asJson.code).toBe(1)
    expect(summaryIn(at('audited')).read).toBeGreaterThan(0)
  })
})
