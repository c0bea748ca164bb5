// `holdfast query attribution` against a server that listens, and on the directory of a run.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../log/errors.ts'
import type { HttpServer } from '../sinks/http/server.ts'
import { attributionWorld } from '../test/attribution-world.ts'
import { type ReadWorld, readServer } from '../test/read-world.ts'
import { queryCommand } from './query-command.ts'

let world: ReadWorld
let server: HttpServer

beforeAll(async () => {
  world = await attributionWorld()
  server = await readServer(world)
})
afterAll(async () => {
  await server.close()
  await world.close()
})

/** What the command prints; throws what it ends with. */
async function query(...args: string[]): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
  try {
    const program = new Command('holdfast').exitOverride().configureOutput({ outputError: () => {} })
    queryCommand(program)
    await program.parseAsync(['query', 'attribution', ...args], { from: 'user' })
    return write.mock.calls.map(([text]) => String(text)).join('')
  } finally {
    write.mockRestore()
  }
}
const ask = (...args: string[]): Promise<string> => query(...args, '--url', server.url)

describe('query attribution', () => {
  it('prints the conversion, its touches, and of each window who is credited and why the others are not', async () => {
    const text = await ask('bought')
    expect(text).toContain(`conversion bought of ann for shop · 2026-01-02T06:00:00.000Z · order o1 · 12.5 EUR
  whose: its own user_id, whose click has its click_id
  credited: in at least one window a touch is credited with it
  TOUCH  TYPE        AT                        BEFORE   AD    CAMPAIGN  CLICK_ID
  c-old  click       2026-01-01T04:00:00.000Z  1 d 2 h  shoe  spring    the same
  c-new  click       2026-01-02T05:00:00.000Z  1 h      shoe  spring    -
  i1     impression  2026-01-02T05:59:00.000Z  1 min    shoe  spring    -

  1d_click: clicks up to 1 d before
    MODEL       TOUCH  CREDIT  HOW
    last_touch  c-new  1       the only candidate; it has not the conversion's click_id
    linear      c-new  1       the only candidate
    not c-old: too old by 2 h
    not i1: impressions have no part in it

  7d_click: clicks up to 7 d before
    MODEL       TOUCH  CREDIT  HOW
    last_touch  c-old  1       the last touch whose click_id is the conversion's
    linear      c-old  0.5     1 of 2
    linear      c-new  0.5     1 of 2
    not i1: impressions have no part in it
`)
    expect(text).toMatch(/\ncomplete through 2026-.*Z · applied through doors_user-2_[01]:.* · commit \d+\n$/)
  })

  it('prints every conversion of the id, and the JSON of the node', async () => {
    expect(await ask('same')).toMatch(/of (ann|bob) for shop.*not credited: no touch of its user/s)
    expect(await ask('many')).toContain('there are more conversions of this id')
    const { attributions } = JSON.parse(await ask('back', '--json'))
    expect(attributions).toMatchObject([{ outcome: 'refund', windows: [] }])
  })

  it.each<[string, RegExp, string[]]>([
    ['one that is not known', /35 d, and duplicates never are \(UNKNOWN_CONVERSION\)$/, ['nobody']],
    ['no conversion', /missing required argument 'conversion'/, []],
    ['two', /too many arguments/, ['bought', 'same']],
    ['a position that is none', /wait must be <stream>/, ['bought', '--wait', 'here']],
    ['a node and a directory', /--url has no effect with --data-dir/, ['bought', '--data-dir', 'here']],
  ])('refuses %s as wrong usage', async (_, words, args) => {
    const error = await ask(...args).catch((error: unknown) => error)
    expect(error instanceof CommanderError || (error instanceof HoldfastError && error.code === 'USAGE')).toBe(true)
    expect((error as Error).message).toMatch(words)
  })
})

describe('query attribution --data-dir', () => {
  it('refuses a directory that holds nothing, and what is no id', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-attribution-'))
    await expect(query('bought', '--data-dir', dir)).rejects.toThrow(/holds no run or node/)
    await expect(query('x'.repeat(129), '--data-dir', dir)).rejects.toThrow(/1 to 128 bytes/)
    await rm(dir, { recursive: true })
  })
})
