// `holdfast query` and `holdfast top` as child processes, against a server that listens; and what top computes.

import { spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StatusAnswer } from '../client/holdfast.ts'
import { HoldfastError } from '../log/errors.ts'
import { newToken, Tokens } from '../sinks/http/auth.ts'
import type { HttpServer } from '../sinks/http/server.ts'
import { ReadWorld, readServer, WORLD_START_MS } from '../test/read-world.ts'
import { NODE_ENVIRONMENT } from './node-flags.mjs'
import { queryCommand } from './query-command.ts'
import { rowsBetween, topText } from './top-command.ts'

const FEATURE = ['query', 'page_views_1h']

let world: ReadWorld
let server: HttpServer
let dir: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-query-'))
  world = await ReadWorld.start()
  server = await readServer(world)
})
afterAll(async () => {
  await server.close()
  await world.close()
  await rm(dir, { recursive: true })
})

describe('query', () => {
  it('prints a table: keys in their order, and what the snapshot knows', async () => {
    const wait = await world.views('ann', ['home', '../a b', 'home'])
    const { code, stdout, stderr } = await ask([...FEATURE, 'page', 'home', '../a b', 'x', '--wait', wait])
    expect([code, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines.slice(0, 5)).toEqual([
      'page_views_1h by page · window 3600 s · panes of 60 s',
      'KEY     VALUE',
      'home        2',
      '../a b      1',
      'x           0',
    ])
    expect(stdout).toMatch(/^at 2026-01-01T00:00:00.000Z · complete through .* · applied through doors_pages_0:\d+/m)
  })

  it('prints what a value is made of, of one key', async () => {
    const wait = await world.views('eve', ['made-of', 'made-of'])
    const { code, stdout } = await ask([...FEATURE, 'page', 'made-of', '--explain', '--wait', wait])
    expect(code).toBe(0)
    expect(stdout.split('\n').slice(0, 5)).toEqual([
      'page.page_views_1h of made-of = 2',
      '  count',
      '  from 2025-12-31T23:01:00.000Z to before 2026-01-01T00:01:00.000Z',
      '  PANE FROM                 WIDTH  WHAT IS IN IT',
      '  2026-01-01T00:00:00.000Z  1 min  count 2',
    ])
    expect(stdout).toMatch(/^at 2026-01-01T00:00:00.000Z · complete through/m)
  })

  it('prints the JSON of the node, for a time in either spelling', async () => {
    const later = new Date(WORLD_START_MS + 7_200_000)
    for (const at of [later.toISOString(), String(later.getTime())]) {
      const { code, stdout } = await ask([...FEATURE, 'user', 'ann', '--at', at, '--json'])
      expect(code).toBe(0)
      const answer = JSON.parse(stdout)
      expect(answer.values).toEqual([{ key: 'ann', value: 0, snapshot: 0 }])
      expect(answer.snapshots[0].at).toBe(later.getTime())
    }
  })

  it.each<[string, RegExp, string[]]>([
    ['no key', /missing required argument 'key'/, ['query', 'page_views_1h', 'page']],
    ['a time that is none', /--at must be milliseconds/, [...FEATURE, 'page', 'x', '--at', 'noon']],
    ['a time in seconds', /at must be a whole number: milliseconds/, [...FEATURE, 'page', 'x', '--at', '1767225600']],
    ['a position that is none', /wait must be <stream>/, [...FEATURE, 'page', 'x', '--wait', 'here']],
    ['too many keys', /at most 1000 keys at once, not 1001/, [...FEATURE, 'page', ...Array<string>(1_001).fill('x')]],
    ['to explain two keys', /--explain takes one key/, [...FEATURE, 'page', 'x', 'y', '--explain']],
    ['another feature', /this node has: page_views_1h user, page_views_1h page/, ['query', 'other', 'page', 'x']],
    ['no address', /--url must be an address like http:/, [...FEATURE, 'page', 'x', '--url', 'localhost:8080']],
    ['no token file', /cannot read .*nowhere/, [...FEATURE, 'page', 'x', '--token-file', '/nowhere/token']],
  ])('refuses %s as wrong usage, in one line', async (_, words, args) => {
    const program = new Command('holdfast').exitOverride().configureOutput({ outputError: () => {} })
    queryCommand(program)
    const withUrl = args.includes('--url') ? args : [...args, '--url', server.url]
    const error = await program.parseAsync(withUrl, { from: 'user' }).catch((error: unknown) => error)
    expect(error instanceof CommanderError || (error instanceof HoldfastError && error.code === 'USAGE')).toBe(true)
    expect((error as Error).message).toMatch(words)
    expect((error as Error).message).not.toContain('\n')
  })

  it('exits with 2 for a time that cannot be asked for', async () => {
    const { code, stdout, stderr } = await ask([...FEATURE, 'page', 'x', '--at', '5'])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^holdfast: at must be a whole number: milliseconds.*\n$/)
  })

  it('exits with 1 where nobody answers, or not in time, and says what to do', async () => {
    const [nobody, late] = await Promise.all([
      ask([...FEATURE, 'page', 'x', '--url', 'http://127.0.0.1:1']),
      ask([...FEATURE, 'user', 'x', '--wait', 'doors_user-1_0:9999.0']),
    ])
    expect([nobody.code, nobody.stdout]).toEqual([1, ''])
    expect(nobody.stderr).toMatch(/no answer from http:\/\/127\.0\.0\.1:1: .*holdfast node/)
    expect(late.code).toBe(1)
    expect(late.stderr).toMatch(/not applied in time; the node has applied doors_user-1_0:/)
  })

  it('shows a token from a file of its owner, or from the environment, and never prints it', async () => {
    const { token, line } = newToken(['read'], 'doors')
    const guarded = await readServer(world, Tokens.parse(line))
    const args = [...FEATURE, 'page', 'home', '--url', guarded.url]
    const file = join(dir, 'token')
    await writeFile(file, `${token}\n`, { mode: 0o600 })
    const refused = await ask(args)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/give a token with --token-file or HOLDFAST_TOKEN/)
    const admitted = await Promise.all([ask([...args, '--token-file', file]), ask(args, { HOLDFAST_TOKEN: token })])
    expect(admitted.map(({ code }) => code)).toEqual([0, 0])
    await chmod(file, 0o644)
    const open = await ask([...args, '--token-file', file])
    expect([open.code, open.stderr]).toEqual([2, expect.stringMatching(/chmod 600/)])
    const garbled = await ask(args, { HOLDFAST_TOKEN: `${token}\n${token}` })
    expect([garbled.code, garbled.stderr]).toEqual([2, expect.stringMatching(/does not hold a token/)])
    const { code, stderr } = await ask(['top', '--once', '--url', guarded.url], { HOLDFAST_TOKEN: token })
    expect([code, stderr]).toEqual([2, expect.stringMatching(/scope/i)])
    for (const said of [refused, open, garbled]) expect(said.stdout + said.stderr).not.toContain(token)
    await guarded.close()
  })
})

describe('top', () => {
  it('prints one table of one interval with --once, as text and as JSON', async () => {
    const text = await ask(['top', '--once', '--interval', '100'])
    expect([text.code, text.stderr]).toEqual([0, ''])
    expect(text.stdout).toMatch(/^TASK +PHASE +RECORDS\/S +BEHIND +RECORDS +LAG +P99 +WATERMARK +WAITING FOR\n/)
    for (const { name, lag_records } of world.status())
      expect(text.stdout).toMatch(new RegExp(`^${name} +running +0 +0 +${lag_records ?? '-'} +0.0 s`, 'm'))
    const { tasks } = JSON.parse((await ask(['top', '--once', '--interval', '100', '--json'])).stdout)
    expect(tasks.map(({ task }: { task: string }) => task)).toEqual(world.status().map(({ name }) => name))
  })

  it('goes on until a signal, and then exits with 0', async () => {
    const { code, stdout } = await ask(['top', '--interval', '100', '--json'], {}, 2)
    const lines = stdout.trimEnd().split('\n')
    expect(lines.length).toBeGreaterThanOrEqual(2)
    for (const line of lines) expect(JSON.parse(line).tasks).toHaveLength(world.status().length)
    expect(code).toBe(0)
  })

  it('exits with 1 where nobody answers, and with 2 for an interval that is none', async () => {
    expect((await ask(['top', '--once', '--url', 'http://127.0.0.1:1'])).code).toBe(1)
    expect((await ask(['top', '--interval', '99'])).code).toBe(2)
  })
})

const READABLE = { p50: 4, p99: 9, max: 30, count: 10 }

describe('what top computes', () => {
  const answer = (
    now_ms: number,
    seq: number,
    records: number,
    pending: number,
    watermark: number | null = 5,
    lag_ms = 0,
  ) => ({
    ...{ now_ms, attribution: null, model: null, evaluated: null },
    tasks: [
      {
        name: 't-0',
        stage: 't',
        partition: 0,
        phase: 'running',
        epoch: 1,
        seq,
        pending,
        watermark,
        last_event: null,
        waiting: null,
      },
    ].map((task) => ({
      ...task,
      sends_to: [],
      lag_ms,
      lag_records: 40,
      config: 'c0',
      readable_ms: READABLE,
      counts: { records },
    })),
  })

  it('rates between two looks; how far behind the node says it is', () => {
    const [row] = rowsBetween(answer(1_000, 10, 100, 50), answer(3_000, 30, 500, 25, 5, 2_500))
    expect(row).toMatchObject({
      records_per_s: 200,
      behind: 25,
      behind_records: 40,
      lag_s: 2.5,
      readable_p99_ms: 9,
      waiting_for: null,
    })
  })

  it('a task that is new, and a node that started again, have no rates below zero', () => {
    expect(
      rowsBetween({ now_ms: 0, tasks: [], attribution: null, model: null, evaluated: null }, answer(1_000, 9, 90, 1)),
    ).toMatchObject([{ records_per_s: 0 }])
    expect(rowsBetween(answer(9_000, 9, 90, 1), answer(500, 3, 30, 1))).toMatchObject([{ records_per_s: 0 }])
  })

  it('what is waited for, and how long', () => {
    const waiting = { cause: 'room', on: 'hf_pages_0', detail: 'full', since_ms: 2_000 }
    const now: StatusAnswer = answer(14_000, 1, 1, 7, null)
    const rows = rowsBetween(now, { ...now, tasks: now.tasks.map((task) => ({ ...task, waiting })) })
    expect(topText(rows).split('\n')[1]).toBe(
      't-0   running          0       7       40  0.0 s  9 ms  none       room of hf_pages_0 for 12 s: full',
    )
  })
})

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command; --url is the server's unless it is given. After `lines` lines it gets the signal of Ctrl-C. */
function ask(
  args: readonly string[],
  env: Record<string, string> = {},
  lines = Number.POSITIVE_INFINITY,
): Promise<Ended> {
  const withUrl = args.includes('--url') ? args : [...args, '--url', server.url]
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...withUrl], {
    env: { ...NODE_ENVIRONMENT, ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  const said = { stdout: '', stderr: '' }
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.stderr += text
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text
    if (said.stdout.split('\n').length > lines) child.kill('SIGINT')
  })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...said })))
}
