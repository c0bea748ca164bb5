// Bugs that the joiner or a feedback may have (test/bugs/simulated.ts): each patch applies to the files as they are. That the simulations
// find each takes minutes (npm run test:kill -- --only joiner-bugs, --only loop-bugs); here one of each is found.

import { describe, expect, it } from 'vitest'
import { fits } from '../bugs/run.ts'
import { bugsOf, JOINER, judgeSimulated, LOOP } from '../bugs/simulated.ts'

describe.each([
  [JOINER, 'rank-lost-in-exchange'],
  [LOOP, 'feedback-ignored-for-time'],
])('%o', async (simulated, one) => {
  const all = await bugsOf(simulated)

  it.each(all)('$name applies, and says what is wrong', async (bug) => {
    await fits(bug)
    expect(bug.what).toMatch(/^[A-Z].*\.$/)
  })

  it('are found', { timeout: 240_000 }, async () => {
    const { caughtBy, trials } = await judgeSimulated(simulated, all.find(({ name }) => name === one)!, 1)
    expect([caughtBy.length > 0, trials]).toEqual([true, 1])
  })
})
