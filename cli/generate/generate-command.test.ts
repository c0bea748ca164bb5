// `holdfast generate`: its files, and arguments that are refused before anything is written.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Command } from 'commander'
import { afterAll, expect, test } from 'vitest'
import { generateCommand } from './generate-command.ts'
import { TRAFFIC_DEFAULTS, traffic } from './traffic.ts'
import { WORLD_DEFAULTS, world } from './world.ts'
import { Truth } from './world-truth.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-generate-'))
const closing: Server[] = []
afterAll(() => {
  rmSync(dir, { recursive: true })
  for (const server of closing) {
    server.closeAllConnections()
    server.close()
  }
})

const generate = (...args: string[]) =>
  generateCommand(new Command('generate').exitOverride()).parseAsync(args, { from: 'user' })
const read = (name: string) => readFileSync(join(dir, name))

test('traffic is what it was', async () => {
  await generate('--out', join(dir, 'traffic'), '--events', '1500', '--seed', '3')
  const expected = Buffer.concat([...traffic({ ...TRAFFIC_DEFAULTS, events: 1_500, seed: 3 })])
  expect(read('traffic').equals(expected)).toBe(true)
})

test('a world: its lines and its truth, plain or packed', async () => {
  const options = {
    ...WORLD_DEFAULTS,
    events: 8_000,
    users: 100,
    ads: 7,
    campaigns: 7,
    advertisers: 7,
    days: 3,
    seed: 4,
  }
  const args = ['--world', '--events', '8000', '--users', '100', '--ads', '7', '--days', '3', '--seed', '4']
  await generate(...args, '--out', join(dir, 'world'), '--truth', join(dir, 'truth'))
  const truth = new Truth()
  const lines = [...world(options, truth)].flat().map(({ text }) => `${text}\n`)
  expect(read('world').toString()).toBe(lines.join(''))
  const rows = truth.take().map((row) => `${JSON.stringify(row)}\n`)
  expect(read('truth').toString()).toBe(rows.join(''))
  expect(rows.at(-1)).toContain('"kind":"summary"')
  await generate(...args, '--out', join(dir, 'world.gz'), '--truth', join(dir, 'truth.gz'))
  expect(gunzipSync(read('world.gz')).equals(read('world'))).toBe(true)
  expect(gunzipSync(read('truth.gz')).equals(read('truth'))).toBe(true)
})

/** Takes everything; how many lines it got, and their event times. */
async function door() {
  const times: number[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const lines = body.trimEnd().split('\n')
    for (const line of lines) times.push(Number(/"event_time":(\d+)/.exec(line)?.[1] ?? 0))
    response.end(JSON.stringify({ taken: lines.length, refused: 0 }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(server)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, times }
}

test('sent at the rate asked for, for the time asked for, with times of now', async () => {
  const { url, times } = await door()
  const start = Date.now()
  await generate('--world', '--url', url, '--speed', '3600', '--rate', '500', '--duration', '1')
  const end = Date.now()
  expect(end - start).toBeGreaterThan(950)
  expect(end - start).toBeLessThan(3_000)
  expect(times.length).toBeGreaterThan(250)
  expect(times.length).toBeLessThan(900)
  const now = times.filter((time) => time >= start - 1_000 && time <= end)
  // All but the bad lines.
  expect(now.length / times.length).toBeGreaterThan(0.98)
})

test('Ctrl-C ends it in good order, and signals mean again what they meant', async () => {
  const { url } = await door()
  const listeners = process.listenerCount('SIGINT')
  const sending = generate('--world', '--url', url, '--rate', '1', '--duration', '60')
  setTimeout(() => process.emit('SIGINT', 'SIGINT'), 300)
  const start = performance.now()
  await sending
  expect(performance.now() - start).toBeLessThan(2_000)
  expect(process.listenerCount('SIGINT')).toBe(listeners)
})

test.each<[string, string[], RegExp]>([
  ['nowhere to write', ['--events', '1'], /--out <file>/],
  ['a world without a place', ['--world'], /--out or --url/],
  ['truth of traffic', ['--out', 'x', '--truth', 'y'], /--truth goes with --world/],
  ['ads of traffic', ['--out', 'x', '--ads', '3'], /--ads goes with --world/],
  ['speed of a file', ['--world', '--out', 'x', '--speed', '2'], /--speed goes with --url/],
  ['a token for a file', ['--world', '--out', 'x', '--token-file', 'y'], /--token-file goes with --url/],
  ['a file and an address', ['--world', '--out', 'x', '--url', 'http://127.0.0.1:1'], /--out goes with a file/],
  ['truth of what is sent', ['--world', '--truth', 'x', '--url', 'http://127.0.0.1:1'], /--truth goes with a file/],
  ['no address', ['--world', '--url', 'localhost:80'], /--url is no address/],
  [
    'a rate and a number',
    ['--world', '--url', 'http://127.0.0.1:1', '--rate', '5', '--events', '5'],
    /--rate or --events/,
  ],
  ['no token there', ['--world', '--url', 'http://127.0.0.1:1', '--token-file', '/nowhere/t'], /cannot read the token/],
  ['too fast', ['--world', '--url', 'http://127.0.0.1:1', '--speed', '86401'], /--speed must be/],
  ['more campaigns than ads', ['--world', '--out', 'x', '--ads', '3', '--campaigns', '4'], /campaigns must be/],
  ['too many events', ['--world', '--out', 'x', '--events', '100000001'], /events must be/],
  ['a folder that is not there', ['--world', '--out', '/nowhere/x'], /cannot write/],
  ['a truth that cannot be written', ['--world', '--out', join(dir, 'half'), '--truth', '/nowhere/x'], /cannot write/],
])('%s is refused', async (_, args, message) => {
  const inDir = args.map((arg) => (arg === 'x' || arg === 'y' ? join(dir, `refused-${arg}`) : arg))
  await expect(generate(...inDir)).rejects.toThrow(message)
  expect(existsSync(join(dir, 'refused-x'))).toBe(false)
})
