// What a user gets wrong, and what a file has wrong: one line on stderr, the right exit code, nothing half-written.

import { existsSync, readdirSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'
import { compare, DEFAULTS, readInput, recompute } from '../oracle/oracle.ts'
import { holdfast, stressFile, summaryIn, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsHarness

const at = (name: string): string => join(work.path, name)
const view = (n: number): string =>
  JSON.stringify({ type: 'page_view', event_id: `e${n}`, event_time: 1.75e12 + n, user_id: 'u', page_id: 'p' })

beforeAll(async () => {
  work = await workDirectory()
  nats = await natsHarness()
  const good = `${view(1)}\n`
  await writeFile(at('good'), good)
  await writeFile(at('plain.gz'), good)
  await writeFile(at('unreadable'), good)
  await chmod(at('unreadable'), 0)
  await mkdir(at('directory'), { recursive: true })
  await writeFile(at('unknown-field.json'), '{"latenesMs": 1}')
  await writeFile(at('wrong-type.json'), '{"latenessMs": "ten minutes"}')
  await writeFile(at('wrong-choice.json'), '{"anonymous": "maybe"}')
  const attribution = { windows: [{ name: 'w', click: '-1d' }] }
  await writeFile(at('wrong-window.json'), JSON.stringify({ attribution }))
  await writeFile(at('no-json.json'), '{"latenessMs": ')
  await writeFile(at('list.json'), '[]')
  await stressFile(at('whole.gz'), { lines: 3_000 })
  const whole = await readFile(at('whole.gz'))
  await writeFile(at('truncated.gz'), whole.subarray(0, whole.length / 2))
})
afterAll(async () => {
  await nats.close()
  await work[Symbol.asyncDispose]()
})

describe('refused with one line and exit code 2, before anything is written', () => {
  const run = (...rest: string[]) => ['run', '--out', 'out', '--drain', ...rest]
  const good = (...rest: string[]) => run('--input', 'good', ...rest)
  it.each<[string, string[], RegExp]>([
    ['no such command', ['fly'], /unknown command 'fly'/],
    ['an option left out', ['run', '--input', 'good', '--drain'], /'--out <dir>' not specified/],
    ['no --drain', ['run', '--input', 'good', '--out', 'out'], /'--drain' not specified/],
    ['an option without value', good('--partitions'), /'--partitions <n>' argument missing/],
    ['an unknown option', good('--drian'), /unknown option '--drian'/],
    ['an argument too many', good('more'), /too many arguments/],
    ['no such file', run('--input', 'missing'), /cannot read missing: ENOENT/],
    ['a directory as file', run('--input', 'directory'), /directory is not a file/],
    ['--out is a file', ['run', '--input', 'good', '--out', 'good', '--drain'], /good is there and is not a directory/],
    [
      '--out under a file',
      ['run', '--input', 'good', '--out', 'good/o', '--drain'],
      /cannot write good\/o: .*good is not/,
    ],
    [
      '--out where no folder can be made',
      ['run', '--input', 'good', '--out', '/proc/holdfast/out', '--drain'],
      /cannot write \/proc\/holdfast\/out: /,
    ],
    ['0 partitions', good('--partitions', '0'), /--partitions must be a whole number from 1 to 256, not "0"/],
    ['1.5 partitions', good('--partitions', '1.5'), /--partitions must be a whole number .*"1.5"/],
    ['257 partitions', good('--partitions', '257'), /--partitions must be a whole number .*"257"/],
    ['abc partitions', good('--partitions', 'abc'), /--partitions must be a whole number .*"abc"/],
    ['0 threads', good('--threads', '0'), /--threads must be a whole number from 1 to 256, not "0"/],
    ['257 threads', good('--threads', '257'), /--threads must be a whole number .*"257"/],
    ['slices of 0', good('--slice-records', '0'), /--slice-records must be a whole number/],
    ['a configuration with an unknown field', good('--config', 'unknown-field.json'), /unknown field "latenesMs"/],
    ['a configuration with a wrong type', good('--config', 'wrong-type.json'), /"latenessMs" must be a whole number/],
    ['a configuration with a wrong word', good('--config', 'wrong-choice.json'), /"anonymous" must be "reject" or/],
    [
      'a window of negative length',
      good('--config', 'wrong-window.json'),
      /wrong-window.json: attribution.windows\[0\].click must be a length of time like "28d".*, not "-1d"/,
    ],
    ['a configuration that is no JSON', good('--config', 'no-json.json'), /cannot read no-json.json: .*JSON/],
    [
      'a configuration that is a list',
      good('--config', 'list.json'),
      /list.json: the configuration is not a JSON object/,
    ],
    ['no configuration', good('--config', 'missing'), /cannot read missing: ENOENT/],
    ['a namespace with a dot', good('--namespace', 'a.b'), /namespace "a.b" is not 1-32 of \[a-z0-9-\]/],
    ['--data-dir is a file', good('--data-dir', 'good'), /cannot use good: EEXIST/],
    ['--data-dir with other things in it', good('--data-dir', '.'), /is not empty and holds no run of Holdfast/],
    ['explain of nothing', ['explain', '--data-dir', 'directory'], /directory holds no run or node of Holdfast/],
    ['audit of nothing', ['audit', '--data-dir', 'missing'], /cannot use missing: ENOENT/],
    [
      'a plan of its own',
      ['explain', '--data-dir', 'x', '--partitions', '7'],
      /--partitions has no effect with --data-dir/,
    ],
    ['another audit', ['audit', '--data-dir', 'x', '--live'], /--live has no effect with --data-dir/],
    [
      'a door and none',
      ['node', '--data-dir', 'x', '--no-http', '--token-file', 'y'],
      /--token-file has no effect with --no-http/,
    ],
    ['audit of what', ['audit'], /audit needs --data-dir or --nats/],
    ['--port of another server', ['node', '--data-dir', 'n', '--nats', 'x', '--port', '1'], /--port .* --nats/],
    ['generate into nowhere', ['generate', '--out', 'missing/f', '--events', '1'], /cannot write missing\/f: ENOENT/],
  ])('%s', async (_, args, complaint) => {
    const before = readdirSync(work.path)
    const { code, stdout, stderr } = await holdfast(args, { cwd: work.path })
    expect(stderr).toMatch(complaint)
    expect(stderr).toMatch(/^holdfast: [^\n]+\n$/)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(readdirSync(work.path)).toEqual(before)
  })

  // Root may read anything.
  it.runIf(process.getuid?.() !== 0)('a file that may not be read', async () => {
    const { code, stderr } = await holdfast(run('--input', 'unreadable'), { cwd: work.path })
    expect(stderr).toMatch(/^holdfast: cannot read unreadable: EACCES[^\n]*\n$/)
    expect(code).toBe(2)
  })
})

describe('files', () => {
  const run = (input: string, out: string) =>
    holdfast(['run', '--input', at(input), '--out', at(out), '--drain', '--no-scoring', '--nats', nats.url, '--json'])

  it.each([
    ['plain.gz', /cannot read .*plain\.gz: incorrect header check/],
    ['truncated.gz', /cannot read .*truncated\.gz: unexpected end of file/],
  ])('%s cannot be unpacked: exit 2, no results', async (input, complaint) => {
    const { code, stderr } = await run(input, 'never')
    expect(stderr).toMatch(complaint)
    expect(stderr).toMatch(/^[^\n]+\n$/)
    expect(code).toBe(2)
    expect(existsSync(at('never'))).toBe(false)
  })

  it.each([
    ['empty', ''],
    ['blank', '\n\r\n  \t\n \r\n   '],
    ['packed.gz', gzipSync('')],
  ])('%s: nothing to read is fine', async (name, content) => {
    await writeFile(at(name), content)
    expect((await run(name, `${name}-out`)).code).toBe(0)
    const zeros = { read: 0, accepted: 0, duplicates: 0, dead_letters: 0, late: 0 }
    expect(summaryIn(at(`${name}-out`))).toMatchObject({ ...zeros, as_of: null, starts: 1, resumed_at_line: 0 })
    for (const file of ['features.ndjson', 'dead_letters.ndjson']) {
      expect(await readFile(join(at(`${name}-out`), file), 'utf8')).toBe('')
    }
  })

  it('a line of a megabyte, NUL bytes, what is no UTF-8: dead letters, and the next event is processed', async () => {
    const long = 'x'.repeat(1 << 20)
    const lines = [view(1), long, view(2), '\0'.repeat(10), `${view(3).slice(0, -1)},"note":"\0"}`, view(4), view(5)]
    await writeFile(at('odd'), Buffer.concat([Buffer.from(lines.join('\n')), Buffer.from([10, 0xff, 0xfe, 10])]))
    expect((await run('odd', 'odd-out')).code).toBe(0)
    expect(summaryIn(at('odd-out'))).toMatchObject({ read: 8, accepted: 4, dead_letters: 4 })
    const letters = (await readFile(at('odd-out/dead_letters.ndjson'), 'utf8')).trim().split('\n')
    const found = letters.map((line) => JSON.parse(line)).sort((a, b) => a.line - b.line)
    expect(found.map(({ line, code }) => `${line} ${code}`)).toEqual([
      '2 EVENT_TOO_LARGE',
      '4 EVENT_JSON',
      '5 EVENT_JSON',
      '8 EVENT_JSON',
    ])
    // What docs/limits.md says: of a line that long the first 256 KiB are kept.
    expect(Buffer.from(found[0].raw, 'base64').toString()).toBe(long.slice(0, 256 * 1024))
  })

  it('a configuration is obeyed: with anonymous accepted and other lateness the oracle agrees, too', async () => {
    await writeFile(at('other.json'), '{"anonymous": "accept", "latenessMs": 5000}')
    const ended = await holdfast([
      ...['run', '--input', at('whole.gz'), '--out', at('other-out'), '--drain', '--no-scoring', '--nats', nats.url],
      ...['--config', at('other.json'), '--json'],
    ])
    expect(ended.code).toBe(0)
    const settings = {
      anonymous: 'accept',
      bots: 'count',
      latenessMs: 5_000,
      forget: false,
      attribution: null,
    } as const
    expect(compare(recompute(readInput(at('whole.gz')), settings), at('other-out'))).toEqual([])
    expect(compare(recompute(readInput(at('whole.gz'))), at('other-out'))).not.toEqual([])
  })

  it.each(['mark', 'drop'] as const)(
    'bots: %s takes the events of programs out of what is counted, and nothing else',
    async (bots) => {
      const lines = readInput(at('whole.gz')).toString('latin1').split('\n')
      const marked = lines.map((line, i) =>
        i % 3 === 0 ? line.replace(/^\{"type"/, '{"props":{"bot":true},"type"') : line,
      )
      await writeFile(at('bots.ndjson'), marked.join('\n'), 'latin1')
      await writeFile(at(`${bots}.json`), JSON.stringify({ bots }))
      const out = at(`${bots}-out`)
      const ended = await holdfast([
        ...['run', '--input', at('bots.ndjson'), '--out', out, '--drain', '--no-scoring', '--nats', nats.url],
        ...['--config', at(`${bots}.json`), '--json'],
      ])
      expect(ended.code).toBe(0)
      const input = readInput(at('bots.ndjson'))
      expect(compare(recompute(input, { ...DEFAULTS, bots }), out)).toEqual([])
      const counting = compare(recompute(input), out)
      expect(counting.length).toBeGreaterThan(0)
      const isCounted = /^(features|attributions|labels)\.ndjson|^summary\.json (refund_unmatched|(un)?attribut|labels)/
      expect(counting.filter((difference) => !isCounted.test(difference))).toEqual([])
    },
  )
})
