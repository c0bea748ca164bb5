import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { PARTS, parseOptions } from './options.ts'

afterEach(() => vi.restoreAllMocks())

it('says its parts, options and defaults when asked, without a kill', async () => {
  const { code, stdout } = await new Promise<{ code: number | null; stdout: string }>((resolve) => {
    const child = execFile(process.execPath, [join(import.meta.dirname, 'main.ts'), '--help'], (_, said) =>
      resolve({ code: child.exitCode, stdout: said }),
    )
  })
  expect(code).toBe(0)
  for (const [name, what] of Object.entries(PARTS)) expect(stdout).toContain(`  ${name.padEnd(12)} ${what}\n`)
  for (const option of ['only', 'kills', 'seed', 'lines', 'events', 'reads', 'partitions', 'lanes', 'case', 'bug'])
    expect(stdout).toMatch(new RegExp(`^  --${option} <`, 'm'))
  for (const [name, value] of Object.entries(parseOptions([])))
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(new RegExp(`--${name} <n> [^<]*\\(default: ${value}\\)`))
})

it('takes what it is given, and the rest is as the help says', () => {
  const defaults = { kills: 100, seed: 1, lines: 2_500, events: 20_000, reads: 1_000_000, partitions: 2, lanes: 2 }
  expect(parseOptions([])).toEqual(defaults)
  const args =
    '--only joiner --events 7 --kills 0 --seed 9 --lines 8 --reads 6 --partitions 5 --lanes 4 --case 3 --bug b'
  expect(parseOptions(args.split(' '))).toEqual({
    ...{ only: 'joiner', events: 7, kills: 0, seed: 9, lines: 8, reads: 6, partitions: 5, lanes: 4, case: 3, bug: 'b' },
  })
})

it.each([
  ['--only nothing', /--only <part>' argument 'nothing' is invalid\. Allowed choices are points, /],
  ['--kills many', /--kills must be a whole number from 0 to /],
  ['--partitions 257', /--partitions must be a whole number from 1 to 256/],
  ['--lanes 65', /--lanes must be a whole number from 1 to 64/],
  ['--what', /unknown option '--what'/],
  ['more', /too many arguments/],
])('%s: one line, exit 2', (args, complaint) => {
  const said = vi.spyOn(console, 'error').mockReturnValue()
  expect(parseOptions(args.split(' '))).toBe(2)
  expect(said.mock.calls).toEqual([[expect.stringMatching(complaint)]])
  expect(said.mock.calls[0]![0]).toMatch(/^test:kill: [^\n]+$/)
})
