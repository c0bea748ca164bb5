// Rules of the features compiler made wrong: for each of RULES at least one patch, and some for what stands beside them, applied
// to a copy of the project, where random plans on random streams are compared with the naive interpreter. The unpatched copy
// has to pass, and says how often each rule applied.
//
//     node test/bugs/rules.ts [--only NAME] [--seed N] [--json]
//
// BR1: a bug counts as caught only by the property that it is meant for: a copy that does not start, or fails otherwise, is an error.
// BR2: the same seed draws the same plans: a run can be repeated.
// How copies are made and patched: run.ts (BU2).

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { type Bug, bugs, oneLine, withBug } from './run.ts'

const run = promisify(execFile)

/** What random plans are held to: the test that says so. */
interface Property {
  readonly file: string
  /** In its name, and in that of no other test of the file. */
  readonly test: string
}
const VALUES: Property = { file: 'topology/features/compile.test.ts', test: 'random plans of at least' }
const VECTORS: Property = { file: 'topology/features/vectors.test.ts', test: 'for random plans and streams' }
const CHANGES: Property = { file: 'topology/features/ledger.test.ts', test: 'says what it had said all the time' }
const RECORDS: Property = { file: 'operators/feature-group.test.ts', test: 'says what all events say' }
const PROPERTIES = [VALUES, VECTORS, CHANGES, RECORDS]
/** Bugs that values at the end of streams over months do not show, or one in a thousand of them. */
const SEEN_BY: Readonly<Record<string, Property>> = {
  'complete-a-pane-early': CHANGES,
  'records-go-too-early': RECORDS,
  'vector-after-the-touch': VECTORS,
}
/** Milliseconds; all plans of the slowest property take a tenth of it, and a patched copy may run in circles. */
const RUN_MS_MAX = 240_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

export interface RuleVerdict {
  /** null: the unpatched copy. */
  readonly bug: string | null
  readonly file: string
  /** Plans up to the one that showed it; null: none did. */
  readonly caughtAfterPlans: number | null
  /** The first difference; of the unpatched copy, what its test says that it did. */
  readonly what: string
}

/** Every rule that is made wrong, and what else values hang on. */
export const wrongRules = (): Promise<Bug[]> => bugs(join(import.meta.dirname, 'rules'))

/** Holds a copy with this bug to the property that has to show it. */
export function judgeRule(bug: Bug, seed: number): Promise<RuleVerdict> {
  const property = SEEN_BY[bug.name] ?? VALUES
  return withBug(bug, (dir) => held(bug.name, dir, property, seed))
}

/** Holds an unpatched copy to every property. */
function judgeRight(seed: number): Promise<RuleVerdict[]> {
  return withBug(null, async (dir) => {
    const verdicts: RuleVerdict[] = []
    for (const property of PROPERTIES) verdicts.push(await held(null, dir, property, seed))
    return verdicts
  })
}

async function held(bug: string | null, dir: string, property: Property, seed: number): Promise<RuleVerdict> {
  const { file } = property
  const { isPassed, message, output } = await testOf(dir, property, seed)
  if (isPassed) return { bug, file, caughtAfterPlans: null, what: SAID.exec(output)?.[0] ?? '' }
  // BR1.
  const plans = /Property failed after (\d+) tests/.exec(message)?.[1]
  if (plans === undefined) throw new Error(`${bug ?? 'without a bug'}: no plan fails, but the test does: ${message}`)
  return { bug, file, caughtAfterPlans: Number(plans), what: differenceIn(output) }
}

/** What the properties tell of themselves at their end. */
const SAID = /^(rules fired|\d+ values that say something).*$/m

/** What was expected and what was there instead, in the first line in which they differ; or what the plan failed of. */
function differenceIn(output: string): string {
  const [, cause = ''] = output.split(/^Caused by: /m)
  const [first = ''] = cause.split('\n')
  const [expected, found] = [/^- +(?!Expected)(\S.*?),?$/m.exec(cause), /^\+ +(?!Received)(\S.*?),?$/m.exec(cause)]
  return expected === null && found === null
    ? first
    : `expected ${expected?.[1] ?? 'nothing'}, found ${found?.[1] ?? 'nothing'}`
}

/** Vitest's report, as far as it is read here. */
interface Report {
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly {
      readonly title: string
      readonly status: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

interface Ended {
  readonly code?: unknown
  readonly stdout: string
  readonly stderr: string
}

/** Runs one test of a copy. */
async function testOf(
  dir: string,
  { file, test }: Property,
  seed: number,
): Promise<{ readonly isPassed: boolean; readonly message: string; readonly output: string }> {
  const workDir = await mkdtemp(join(tmpdir(), 'holdfast-rule-'))
  const report = join(workDir, 'report.json')
  const vitest = join(dir, 'node_modules', 'vitest', 'vitest.mjs')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const args = [vitest, 'run', file, '--testNamePattern', test, ...reporters]
  const seeded = {
    NODE_OPTIONS: `--import ${join(dir, 'test', 'bugs', 'plan-seed.ts')}`,
    HOLDFAST_PLAN_SEED: String(seed),
    // As many vectors as values.
    HOLDFAST_HEAVY: '1',
    NO_COLOR: '1',
  }
  const options = { cwd: dir, timeout: RUN_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX, env: { ...process.env, ...seeded } }
  try {
    // Exit 1 says that a test failed, and the report which: what leaves none is no answer.
    const { stdout, stderr } = await run(process.execPath, args, options).catch((error: Ended) => {
      if (error.code === 1) return error
      throw error
    })
    const { testResults } = JSON.parse(await readFile(report, 'utf8')) as Report
    const results = testResults.flatMap(({ assertionResults }) => assertionResults)
    const result = results.find(({ title }) => title.includes(test))
    if (result === undefined) throw new Error(`${file} did not run "${test}": ${testResults[0]?.message ?? stderr}`)
    const message = result.failureMessages.join('\n')
    return { isPassed: result.status === 'passed', message, output: stdout + stderr }
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

/** Judges all, or the one named. Whether each bug was caught, and nothing found without. */
export async function noticeWrongRules(
  { only, seed }: { readonly only: string | null; readonly seed: number },
  onVerdict: (verdict: RuleVerdict) => void,
): Promise<boolean> {
  const all = await wrongRules()
  const chosen = all.filter(({ name }) => only === null || name === only)
  if (chosen.length === 0) throw new Error(`${only} is none of ${all.map(({ name }) => name).join(', ')}`)
  const verdicts: RuleVerdict[] = []
  const add = (verdict: RuleVerdict): void => {
    verdicts.push(verdict)
    onVerdict(verdict)
  }
  for (const bug of chosen) add(await judgeRule(bug, seed))
  if (only === null) for (const verdict of await judgeRight(seed)) add(verdict)
  return verdicts.every(({ bug, caughtAfterPlans }) => (bug === null) === (caughtAfterPlans === null))
}

const usage = `node test/bugs/rules.ts [--only NAME] [--seed N] [--json]

Makes each rule of the features compiler wrong, in a copy of the project, and compares random plans with the interpreter there.
Exit 1 where a wrong rule is not noticed, or the unpatched copy fails.

  --only NAME  one patch of test/bugs/rules/, and not the unpatched copy
  --seed N     of the plans, 1: the same seed draws the same
  --json       each verdict as a line of JSON`

/** A verdict in a line: counts are read, of a difference the beginning is looked at. */
export function ruleLine({ bug, file, caughtAfterPlans, what }: RuleVerdict): string {
  const caught = `${file} after ${caughtAfterPlans} plans: ${oneLine(what)}`
  if (bug !== null) return `${bug}: ${caughtAfterPlans === null ? `NOT CAUGHT by ${file}` : caught}`
  return `without a bug: ${caughtAfterPlans === null ? `${file} passes${what === '' ? '' : `: ${what}`}` : `FAILED ${caught}`}`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return console.log(usage)
  if (!/^\d{1,9}$/.test(values.seed)) throw new Error(`--seed is a whole number, not ${values.seed}`)
  const options = { only: values.only ?? null, seed: Number(values.seed) }
  const show = (verdict: RuleVerdict) => console.log(values.json ? JSON.stringify(verdict) : ruleLine(verdict))
  process.exitCode = (await noticeWrongRules(options, show)) ? 0 : 1
}

if (import.meta.main) {
  try {
    await main()
  } catch (error) {
    console.error((error as Error).message)
    process.exitCode = 1
  }
}
