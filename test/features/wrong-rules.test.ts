// Rules of the features compiler that are made wrong (test/bugs/rules.ts): there is a patch for each and it applies to the files as
// they are. That each is noticed takes minutes (npm run test:kill -- --only rules); here one of them is.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RULE_NAMES } from '../../topology/features/compile.ts'
import { judgeRule, wrongRules } from '../bugs/rules.ts'
import { type Bug, fits } from '../bugs/run.ts'

const all = await wrongRules()

const COMPILER = 'topology/features/compile.ts'

/** A patch of the compiler with a line that is no TypeScript between its first two, if those are `first` and `second`. */
async function withLine([first, second]: readonly string[], work: (bug: Bug) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-line-'))
  const path = join(dir, 'line.patch')
  await writeFile(
    path,
    `A line more.\n\n--- a/${COMPILER}\n+++ b/${COMPILER}\n@@ -1,2 +1,3 @@\n ${first}\n+)\n ${second}\n`,
  )
  await work({ name: 'line', what: 'A line more.', path }).finally(() => rm(dir, { recursive: true, force: true }))
}

describe('wrong rules', () => {
  it.each(RULE_NAMES)('%s has a patch', (rule) => {
    expect(all.some(({ name }) => name.startsWith(`${rule}-`))).toBe(true)
  })

  it.each(all)('$name applies, and says what is wrong', async (bug) => {
    await fits(bug)
    expect(bug.what).toMatch(/^[A-Z].*\.$/)
  })

  it('are noticed, always by the same plan of a seed', async () => {
    const bug = all.find(({ name }) => name === 'late-drops-a-need')!
    const [verdict, again] = await Promise.all([judgeRule(bug, 7), judgeRule(bug, 7)])
    expect(verdict.caughtAfterPlans).toBeGreaterThan(0)
    expect(verdict.what).toMatch(/^expected .+, found .+$/)
    expect(again).toEqual(verdict)
  })

  it('BR1: are not noticed where the copy does not even start', async () => {
    const lines = (await readFile(join(import.meta.dirname, '../..', COMPILER), 'utf8')).split('\n')
    await withLine(lines, async (bug) => {
      await fits(bug)
      await expect(judgeRule(bug, 1)).rejects.toThrow('did not run')
    })
  })

  it('BU2: do not fit a file that has changed', () =>
    withLine(['// Another', '// line.'], (bug) => expect(fits(bug)).rejects.toThrow('patch does not apply')))
})
