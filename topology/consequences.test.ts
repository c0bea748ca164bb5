// Which commits a read waits for whose record goes several ways.

import { describe, expect, it } from 'vitest'
import type { CommitRecord } from './commit-record.ts'
import { consequencesApplied, stagesBetween } from './consequences.ts'
import type { Plan } from './plan.ts'

const stage = (name: string, from: readonly string[]) => ({ name, inputs: from.map((other) => ({ stage: other })) })
const planOf = (...stages: readonly ReturnType<typeof stage>[]): Plan =>
  ({ namespace: 'ns', partitions: 2, stages }) as unknown as Plan

it('the stages between two are those of every way, in the order of the plan, and no other', () => {
  const plan = planOf(
    ...[stage('a', []), stage('side', ['a']), stage('b', ['a']), stage('c', ['b', 'a']), stage('d', ['c'])],
    stage('e', ['d', 'side']),
  )
  const between = (from: string, to: string) => stagesBetween(plan, from, to)?.map(({ name }) => name) ?? null
  expect(between('a', 'd')).toEqual(['b', 'c', 'd'])
  expect(between('a', 'e')).toEqual(['side', 'b', 'c', 'd', 'e'])
  expect(between('b', 'c')).toEqual(['c'])
  expect(between('b', 'b')).toEqual([])
  expect(between('side', 'd')).toBeNull()
  expect(between('d', 'a')).toBeNull()
})

describe('consequences in a stage that is reached by two ways (CQ1)', () => {
  const plan = planOf(stage('a', []), stage('b', ['a']), stage('c', ['a', 'b']))
  /** What each commit says that its task has published: different everywhere, so that a mark tells whose it is. */
  const commitOf = (task: string, numbers: Readonly<Record<string, number>>): CommitRecord =>
    ({
      destinations: Object.fromEntries(
        Object.entries(numbers).map(([to, number]) => [`ns.${to}.${task}`, { number, chain: '', seq: 0 }]),
      ),
    }) as unknown as CommitRecord
  const begin = commitOf('a-1', { 'b.0': 3, 'b.1': 4, 'c.0': 5, 'c.1': 6 })

  it('are there when it has taken the numbers of both', async () => {
    const asked: unknown[] = []
    const way = stagesBetween(plan, 'a', 'c')!
    await consequencesApplied(
      plan,
      { way, task: 'a-1', commit: begin, partitions: [1] },
      async (name, partition, mark) => {
        asked.push([`${name}-${partition}`, mark])
        return commitOf(`${name}-${partition}`, { 'c.1': 10 + partition })
      },
    )
    const taken = (writer: string, number: number) => ({ kind: 'taken', writer, number })
    expect(asked).toEqual([
      ['b-0', taken('a-1', 3)],
      ['b-1', taken('a-1', 4)],
      ['c-1', taken('a-1', 6)],
      ['c-1', taken('b-0', 10)],
      ['c-1', taken('b-1', 11)],
    ])
  })

  it('are not when one of the tasks does not get there', async () => {
    const way = stagesBetween(plan, 'a', 'c')!
    const run = consequencesApplied(
      plan,
      { way, task: 'a-1', commit: begin, partitions: [0] },
      async (name, partition) => {
        if (name === 'b' && partition === 1) throw new Error('too late')
        return commitOf(`${name}-${partition}`, {})
      },
    )
    await expect(run).rejects.toThrow('too late')
  })
})
