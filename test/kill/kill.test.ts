// A share of the kill tests for every run of the suite: each kill point, and a kill at any time, of real processes. Many more,
// drawn by a seed: npm run test:kill.

import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runtimeOf } from '../../topology/kill-point.ts'
import { compareApplication, recomputeApplication } from '../oracle/features.ts'
import { compare, DEFAULTS, readInput, recompute } from '../oracle/oracle.ts'
import { writeInput } from './input.ts'
import { killOverLatePixels, killOverStress } from './joiner.ts'
import { killLiveNode } from './live.ts'
import { killOverModels, LEAST, tooLittle } from './models.ts'
import { OutsideBroker } from './outside-broker.ts'
import { HoldfastProcess } from './process.ts'
import { hammerReads, vacuous } from './reads.ts'
import type { Blow, Scenario } from './scenario.ts'
import { scenarioOf, TUNINGS } from './scenario.ts'
import { type Arena, tryOut, undisturbed } from './trial.ts'
import { differences } from './twin.ts'

const REPO = resolve(import.meta.dirname, '../..')
const at = (kill: string): Blow => ({ kind: kill.slice(0, kill.indexOf(':')) as 'K0', kill })

/** Few cases of several blows each: every start of a process costs half a second. */
const CASES: readonly Omit<Scenario, 'number'>[] = [
  { broker: 'own', blows: [at('K2:9'), at('K5:2'), at('K0:2')], tuning: TUNINGS[1]! },
  { broker: 'outside', blows: [at('K4:15'), at('K6:3+120'), at('K1:1')], tuning: TUNINGS[1]! },
  { broker: 'outside', blows: [at('K3:1'), at('K7:2')], tuning: TUNINGS[2]! },
  { broker: 'own', blows: [at('K11:7+1000'), { kind: 'both', share: 0.7 }], tuning: TUNINGS[1]! },
]

let workDir: string
/** A test that is tried once more finds nothing of the first time. */
const ownDir = (name: string): Promise<string> => mkdtemp(join(workDir, `${name} `))
let arena: Arena
let broker: OutsideBroker

beforeAll(async () => {
  workDir = await mkdtemp(join(tmpdir(), 'holdfast-kill-test-'))
  const input = join(workDir, 'input.ndjson')
  await writeInput(input, { lines: 1_200, seed: 5, features: null })
  // What scores is killed below, in the model loop.
  const config = join(workDir, 'off.json')
  await writeFile(config, '{"scoring": "off"}')
  const place = { repo: REPO, input, config, partitions: 2, features: null }
  const { traces, ms, out } = await undisturbed(place, TUNINGS[1]!, join(workDir, 'twin'))
  expect(compare(recompute(readInput(input), DEFAULTS), out)).toEqual([])
  arena = { ...place, twin: traces, wholeRun: { ms } }
  broker = await OutsideBroker.start(join(workDir, 'broker'))
})

afterAll(async () => {
  await broker.close()
  await rm(workDir, { recursive: true, force: true })
})

describe('holdfast run, killed and started again', () => {
  it.each(CASES.map((scenario, number) => ({ number, ...scenario })))(
    'equal to the undisturbed run: $blows.0.kind, and $blows.1.kind in recovery, $broker broker',
    async (scenario) => {
      const { landed, findings } = await tryOut(arena, scenario, await ownDir('case'), broker)
      expect(findings).toEqual([])
      const missed = landed.filter(({ kind, hit }) => kind !== 'both' && !hit)
      expect(missed).toEqual([])
      expect(landed).toHaveLength(scenario.blows.length)
    },
  )
})

describe('holdfast run --features application, killed and started again', () => {
  it('equal to the undisturbed run, which the oracle of features has judged', async () => {
    const input = join(workDir, 'features.ndjson')
    await writeInput(input, { lines: 400, seed: 5, features: 'application' })
    const place = { repo: REPO, input, config: arena.config!, partitions: 2, features: 'application' } as const
    const { traces, ms, out } = await undisturbed(place, TUNINGS[1]!, await ownDir('features twin'))
    expect(compareApplication(recomputeApplication(readInput(input)), out)).toEqual([])
    const scenario: Scenario = { number: 0, broker: 'own', blows: [at('K5:6'), at('K2:2')], tuning: TUNINGS[1]! }
    const featuresArena = { ...place, twin: traces, wholeRun: { ms } }
    const { landed, findings } = await tryOut(featuresArena, scenario, await ownDir('features case'), broker)
    expect(findings).toEqual([])
    expect(landed.map(({ hit }) => hit)).toEqual([true, true])
  })
})

describe('the joiner, killed', () => {
  it.each([
    ['in every stage over months of events', killOverStress, [1]],
    ['while late pixels come', killOverLatePixels, []],
  ] as const)(
    '%s: as the oracle has it, in any partitions',
    { timeout: 180_000 },
    async (_name, kill, otherPartitions) => {
      const options = { repo: REPO, workDir: await ownDir('joiner'), events: 1_200, kills: 4, seed: 4 }
      const said: string[] = []
      const faults = await kill({ ...options, partitions: 2, otherPartitions, onLine: (line) => said.push(line) })
      expect(faults).toEqual([])
      expect(said.join('\n')).toMatch(/, [1-4] kills in /)
    },
  )
})

describe('the model loop, killed', () => {
  it('in its stages, and between publication and activation: as if nobody had', { timeout: 300_000 }, async () => {
    const loopDir = await ownDir('loop')
    const said: string[] = []
    const options = { repo: REPO, workDir: loopDir, events: 400, kills: 3, seed: 2, partitions: 1, otherPartitions: [] }
    const onLine = (line: string) => said.push(line)
    expect(await killOverModels({ ...options, onLine }, { versions: 3, betweenKills: 1 }, '8d')).toEqual([])
    expect(said.join('\n')).toMatch(/, [1-3] kills in /)
  })

  it('is not shown by too few versions, or too few kills between publication and activation', () => {
    expect(tooLittle({ versions: 5, betweenKills: 3 }, LEAST)).toEqual([])
    expect(tooLittle({ versions: 4, betweenKills: 3 }, LEAST)).toEqual(['models: 4 versions scored, not 5'])
    expect(tooLittle({ versions: 5, betweenKills: 2 }, LEAST)).toHaveLength(1)
  })
})

describe('holdfast node, killed under plain clients', () => {
  it('publishes every accepted event once, in order', async () => {
    const report = await killLiveNode({
      ...{ repo: REPO, kills: 3, seed: 3, partitions: 2, workDir: await ownDir('live') },
      onKill: () => {},
    })
    expect(report.findings).toEqual([])
    expect(report.kills).toBe(3)
    expect(report.accepted).toBeGreaterThan(0)
    expect(report.duplicates + report.accepted + report.deadLetters).toBe(report.published)
  })
})

describe('holdfast node, killed under readers', () => {
  // Three starts of a node beside its load: on a machine that is busy otherwise that takes longer than a usual test may.
  it('shows whole commits only, never goes back, and keeps what was waited for (O8)', {
    timeout: 180_000,
  }, async () => {
    const reads = 5_000
    const options = { repo: REPO, reads, kills: 2, seed: 8, workDir: await ownDir('reads'), stopAtFinding: false }
    const report = await hammerReads({ ...options, onKill: () => {} })
    expect(report.findings).toEqual([])
    expect(vacuous(report)).toEqual([])
    expect(report.kills).toBe(2)
    expect(report.reads).toBeGreaterThanOrEqual(reads)
  })
})

describe('the tools', () => {
  it('see one changed byte of outputs or of state', () => {
    const twin = new Map([
      ['features.ndjson', 'a'],
      ['state of pages-0', 'b'],
    ])
    expect(differences(twin, new Map(twin))).toEqual([])
    expect(differences(twin, new Map([...twin, ['state of pages-0', 'c']]))).toHaveLength(1)
    expect(differences(twin, new Map([['features.ndjson', 'a']]))).toHaveLength(1)
  })

  it('draw the same scenario from the same seed', () => {
    const hits = TUNINGS.map(() => ({ K2: 40, K4: 40 }))
    const draw = (seed: number) => Array.from({ length: 20 }, (_, i) => scenarioOf(seed, i, ['K2', 'K4', 'node'], hits))
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
  })

  it('count passes over all threads together: exactly one of them kills', async () => {
    const log = join(workDir, 'threads.log')
    const point = import.meta.resolve('../../topology/kill-point.ts')
    const pass = `const { killPoint } = (await import('${point}')).runtimeOf(process.env); killPoint('K2'); killPoint('K2')`
    const thread = `(async () => { ${pass} })()`
    const main = `import { Worker } from 'node:worker_threads'
      ${pass}
      for (let i = 0; i < 4; i++) new Worker(${JSON.stringify(thread)}, { eval: true })`
    const env = (kill: string) => ({ ...process.env, HOLDFAST_KILL: kill, HOLDFAST_KILL_LOG: log })
    const run = (kill: string) => spawnSync(process.execPath, ['--input-type=module', '-e', main], { env: env(kill) })
    expect(run('K2:11')).toMatchObject({ signal: null, status: 0 })
    expect(run('K2:9+2000').signal).toBe('SIGKILL')
    expect(readFileSync(log, 'utf8')).toBe('K2\n')
    rmSync(log)
    expect(run('count').status).toBe(0)
    expect(readFileSync(log, 'utf8')).toBe('{"K2":2}\n'.repeat(5))
    rmSync(log)
  })

  it('count and kill in one stage, whatever the others do', () => {
    const log = join(workDir, 'stages.log')
    const point = import.meta.resolve('../../topology/kill-point.ts')
    const names = ['user-1-0', 'clicks-0', 'file', 'user-1-13', 'clicks-1']
    const passes = names.map((name) => `killPoint('K2', '${name}')`).join(';')
    const main = `const { killPoint } = (await import('${point}')).runtimeOf(process.env); ${passes}; console.log('over')`
    const run = (kill: string) => {
      const env = { ...process.env, HOLDFAST_KILL: kill, HOLDFAST_KILL_LOG: log }
      const { signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', main], { env })
      return [signal, String(stdout)]
    }
    expect(run('K2@clicks:2')).toEqual(['SIGKILL', ''])
    expect(run('K2@clicks:3')).toEqual([null, 'over\n'])
    expect(run('K2@user-1:2')).toEqual(['SIGKILL', ''])
    rmSync(log)
    run('count')
    const counts = { K2: 5, 'K2@user-1': 2, 'K2@clicks': 2, 'K2@file': 1 }
    expect(JSON.parse(readFileSync(log, 'utf8'))).toEqual(counts)
  })

  it('refuse a kill point they cannot read, with exit code 2', async () => {
    expect(() => runtimeOf({ HOLDFAST_KILL: 'K3' })).toThrow(/K3:5/)
    const args = ['run', '--input', arena.input, '--drain', '--out', join(workDir, 'never')]
    const env = { HOLDFAST_KILL: 'K3:0' }
    const { code } = await new HoldfastProcess({ repo: REPO, args, env, timeoutMs: 60_000 }).ended
    expect(code).toBe(2)
  })
})
