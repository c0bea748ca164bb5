// `npm start` from outside: values rise while it runs, Ctrl-C leaves nothing behind, and what it showed last is what its log says.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastClient } from '../../client/holdfast.ts'
import { connectLog } from '../../log/nats-log.ts'
import { startNatsServer } from '../../log/nats-supervisor.ts'
import { type Ended, holdfast, leftoversOf, PROJECT_DIR, Running, workDirectory } from './command.ts'

/** Enough that every list has its length, and some are duplicates: two seconds of traffic. */
const EVENTS_MIN = 600
const program = 'start.ts'
const IN_A_BROWSER = /in a browser: (\S+)\//

let work: Awaited<ReturnType<typeof workDirectory>>
let dataDir: string
let url: string
let ended: Ended
let acceptedEarly: number
let acceptedLater: number
let topEarly: string[]
let second: Ended

/** How many events the node has accepted, once they are as many as this. */
async function acceptedFrom(client: HoldfastClient, min: number): Promise<number> {
  for (;;) {
    const { tasks } = await client.status()
    const accepted = tasks.reduce((sum, { counts }) => sum + (counts.accepted ?? 0), 0)
    if (accepted >= min) return accepted
    await sleep(50)
  }
}

beforeAll(async () => {
  work = await workDirectory()
  dataDir = join(work.path, 'data')
  const running = new Running(['--http-port', '0', '--data-dir', dataDir], { program })
  await running.until(() => IN_A_BROWSER.test(running.stdout), 'an address')
  url = IN_A_BROWSER.exec(running.stdout)![1]!
  const client = new HoldfastClient({ url })
  acceptedEarly = await acceptedFrom(client, 1)
  acceptedLater = await acceptedFrom(client, EVENTS_MIN)
  second = await holdfast(['--http-port', '0', '--data-dir', dataDir], { program })
  topEarly = (await client.topFeatures('page_views_1h', 'page', { top: 3 })).values.map(({ key }) => key)
  running.kill('SIGINT')
  ended = await running.ended
})
afterAll(() => work[Symbol.asyncDispose]())

const shownPath = (): string => join(dataDir, 'last-shown.json')
const shown = () => JSON.parse(readFileSync(shownPath(), 'utf8'))

function recomputed(): { status: number | null; output: string } {
  const args = [join(PROJECT_DIR, 'test', 'oracle', 'shown.ts'), '--data-dir', dataDir]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 })
  return { status, output: stdout + stderr }
}

describe('npm start', () => {
  it('counts, while it runs, what its own traffic brings', () => {
    expect(acceptedLater).toBeGreaterThan(acceptedEarly)
    expect(topEarly).toHaveLength(3)
  })

  it('ends on Ctrl-C with 0, its last view, and nothing left', async () => {
    expect([ended.code, ended.stderr]).toEqual([0, ''])
    const { events, tops } = shown()
    expect(events.accepted).toBeGreaterThanOrEqual(acceptedLater)
    expect(ended.stdout).toContain(`${events.accepted.toLocaleString('en-US')} accepted · `)
    expect(ended.stdout).toContain(`  ${tops[0].values[0].key}\n`)
    expect(ended.stdout).not.toMatch(/not everything on its way/)
    expect(await leftoversOf(work.path)).toEqual([])
    expect(await leftoversOf(url)).toEqual([])
  })

  it('leaves the directory of one that runs alone, and says so', () => {
    const line = /^holdfast: STATE_LOCKED: [^\n]+stop the other process, or use another --data-dir\n$/
    expect([second.code, second.stderr]).toEqual([2, expect.stringMatching(line)])
  })

  it('its log adds up', async () => {
    const audit = await holdfast(['audit', '--data-dir', dataDir])
    expect([audit.code, audit.stdout]).toEqual([0, expect.stringMatching(/no faults/)])
  })

  it('every number that it showed last follows from its log, and another number is noticed', () => {
    const { events, tops } = shown()
    const numbers = 5 + tops.reduce((sum: number, { values }: { values: unknown[] }) => sum + values.length, 0)
    expect(recomputed()).toEqual({ status: 0, output: `shown: ${numbers} numbers, 0 differences\n` })
    const text = readFileSync(shownPath(), 'utf8')
    const [first, second] = tops[0].values
    const altered = { ...shown(), events: { ...events, conversions: events.conversions + 1_000 } }
    altered.tops[0].values.splice(0, 2, { ...second, value: second.value + 1 })
    writeFileSync(shownPath(), JSON.stringify(altered))
    const { status, output } = recomputed()
    writeFileSync(shownPath(), text)
    expect([status, output]).toEqual([1, expect.stringMatching(/3 differences/)])
    // A range, where some were about to be resolved: see shown.ts.
    expect(output).toMatch(new RegExp(`conversions: shown ${events.conversions + 1_000}, the log says \\d+`))
    expect(output).toContain(
      `page ${second.key} at ${second.at}: shown ${second.value + 1}, the log says ${second.value}`,
    )
    expect(output).toContain(`page ${first.key} with ${first.value}: not shown`)
  })

  it('a log that was trimmed is not computed again from half of it', async () => {
    const server = await startNatsServer({ storeDir: join(dataDir, 'nats'), mappings: {} })
    const log = await connectLog({ servers: server.url, name: 'test' })
    await log.trim('holdfast_user-1_1', 3)
    await log.close()
    await server.stop()
    expect(recomputed()).toEqual({
      ...{
        status: 2,
        output: expect.stringMatching(/^shown: holdfast_user-1_1 was trimmed: its first 2 messages are gone/),
      },
    })
  })

  it('says which port it took instead of one that is taken; ends by itself; begins with nothing', async () => {
    // Another program has it already, or we do: either way it is taken.
    const other = createServer().on('error', () => {})
    await new Promise((resolve) => other.once('error', resolve).listen(8080, '127.0.0.1', () => resolve(null)))
    const { code, stdout } = await holdfast(['--seconds', '1', '--data-dir', dataDir], { program })
    other.close()
    expect(code).toBe(0)
    expect(stdout).toMatch(/port 8080 is taken: this one is on 80(8[1-9]|9\d)\n/)
    expect(shown().events.accepted).toBeLessThan(EVENTS_MIN)
  })

  it('shows the same of declared features, and their numbers follow from the log, too', async () => {
    const args = ['--http-port', '0', '--data-dir', dataDir, '--features']
    const running = new Running([...args, 'application'], { program })
    await running.until(() => IN_A_BROWSER.test(running.stdout), 'an address')
    await acceptedFrom(new HoldfastClient({ url: IN_A_BROWSER.exec(running.stdout)![1]! }), 100)
    running.kill('SIGINT')
    const { code, stdout, stderr } = await running.ended
    expect([code, stderr]).toEqual([0, ''])
    const { tops } = shown()
    expect(
      tops.map(({ entity, values }: { entity: string; values: unknown[] }) => [entity, values.length > 0]),
    ).toEqual([
      ['page', true],
      ['user', true],
    ])
    expect(stdout).toContain(`  ${tops[0].values[0].key}\n`)
    expect(recomputed()).toMatchObject({ status: 0, output: expect.stringMatching(/ 0 differences/) })
    expect((await holdfast([...args, 'nowhere.json'], { program })).code).toBe(2)
  })

  it('explains itself, and refuses what is no option', async () => {
    const help = await holdfast(['--help'], { program })
    expect([help.code, help.stdout]).toEqual([0, expect.stringMatching(/--seconds <n>/)])
    expect((await holdfast(['--seconds', '0'], { program })).code).toBe(2)
  })
})
