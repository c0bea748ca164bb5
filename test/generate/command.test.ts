import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { JOINER_STRESS_DEFAULTS, joinerStress } from './joiner-stress.ts'
import { LATE_PIXELS_DEFAULTS, latePixels } from './late-pixels.ts'
import { STRESS_DEFAULTS, stressLines } from './stress.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-generate-'))
afterAll(() => rmSync(dir, { recursive: true }))

function run(program: string, ...args: string[]): Promise<{ code: number | null; said: string; stdout: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [join(import.meta.dirname, program), ...args], (_, stdout, said) =>
      resolve({ code: child.exitCode, said, stdout }),
    )
  })
}

test('what the command line says reaches the generator, and the rest is its default', async () => {
  const out = join(dir, 'stress')
  const options = ['--lines', '3000', '--lateness-ms', '50000', '--old-twins', '--out', out]
  expect(await run('stress.ts', ...options)).toMatchObject({ code: 0, said: '' })
  const expected = stressLines({ ...STRESS_DEFAULTS, lines: 3_000, latenessMs: 50_000, oldTwins: true })
  expect(readFileSync(out).equals(Buffer.concat([...expected]))).toBe(true)

  const late = join(dir, 'late')
  expect(await run('late-pixels.ts', '--events', '500', '--bulk', '20', '--out', late)).toMatchObject({ code: 0 })
  expect(readFileSync(late)).toEqual(Buffer.concat([...latePixels({ ...LATE_PIXELS_DEFAULTS, events: 500, bulk: 20 })]))

  const joiner = join(dir, 'joiner')
  const { lines, counts } = joinerStress({ ...JOINER_STRESS_DEFAULTS, events: 900, seed: 3 })
  const { code, stdout } = await run('joiner-stress.ts', '--events', '900', '--seed', '3', '--out', joiner)
  expect(code).toBe(0)
  expect(readFileSync(joiner).equals(Buffer.concat([...lines]))).toBe(true)
  expect(stdout).toBe(
    [...counts]
      .sort()
      .map(([name, count]) => `${count}\t${name}\n`)
      .join(''),
  )
})

test.each([
  [['--events', '10'], 'late-pixels: --out FILE is needed\n'],
  [['--events', 'many', '--out', 'never'], 'late-pixels: --events is a whole number, not many\n'],
  [['--lines', '10', '--out', 'never'], "late-pixels: Unknown option '--lines'"],
])('%j is refused', async (args, complaint) => {
  const { code, said } = await run('late-pixels.ts', ...args)
  expect([code, said.slice(0, complaint.length)]).toEqual([2, complaint])
})
