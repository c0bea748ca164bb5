// What the command line of the kill tests says: parts, options, defaults. `npm run test:kill -- --help` prints it; what the parts do: main.ts.
// KO1: what it cannot read is said in one line, exit 2; a kill test that found something ends with 1.

import { Command, CommanderError, Option } from 'commander'
import { wholeNumber } from '../../cli/whole-number.ts'
import { HoldfastError } from '../../log/errors.ts'
import { PARTITIONS_MAX } from '../../topology/dsl.ts'

/** By name, what it does. */
export const PARTS = {
  points: 'kills of `run`, at each kill point of reliability.md in turn',
  random: 'kills of `run` and of its broker at any time',
  features: 'both, of `run --features application`, whose results the oracle of features has judged',
  joiner: 'one `run` over --events that are hard for the joiner, killed --kills times, and one over late pixels',
  models:
    'one `run` that trains, publishes, activates and scores over --events, killed --kills times in every stage of that loop',
  live: 'kills of `node` under plain clients',
  reads: 'kills of `node` under readers, who read --reads keys',
  broker: 'kills of the broker under load, and older copies of its store put back',
  bugs: 'deliberate bugs, those that need it in the simulation',
  'all-bugs': 'all deliberate bugs by kills of `run`',
  'joiner-bugs': 'no kills: what a joiner may do wrong, which its simulation has to find',
  'loop-bugs': 'no kills: what a feedback may do wrong, which its simulation has to find',
  rules: 'no kills: rules of the features compiler made wrong, which random plans have to notice',
} as const
export type Part = keyof typeof PARTS

export interface Options {
  /** Not given: `run` at points and at random, then `node`. */
  readonly only?: Part
  readonly kills: number
  readonly seed: number
  readonly lines: number
  readonly events: number
  readonly reads: number
  readonly partitions: number
  readonly lanes: number
  readonly case?: number
  readonly bug?: string
}

const COUNT_MAX = 999_999_999
const number = (option: string, min = 0, max = COUNT_MAX) => wholeNumber(option, min, max)
/** Each lane is a run or two and a broker: more only wait for one another. */
const LANES_MAX = 64

function command(): Command {
  const parts = Object.entries(PARTS).map(([name, what]) => `  ${name.padEnd(12)} ${what}`)
  return new Command('npm run test:kill --')
    .description(
      'Kill real processes and compare with a run that nobody disturbed. Exit 1 on any difference, with the command that repeats the case.',
    )
    .addOption(
      new Option('--only <part>', 'one part, see below (default: points and random, then live)').choices(
        Object.keys(PARTS),
      ),
    )
    .option('--kills <n>', 'kills in all; of live, where it is not asked for alone, a fifth', number('--kills'), 100)
    .option('--seed <n>', 'what is drawn at random; the same seed draws the same', number('--seed'), 1)
    .option('--lines <n>', 'lines of the input of `run`', number('--lines'), 2_500)
    .option('--events <n>', 'of joiner and models: events of its input', number('--events'), 20_000)
    .option('--reads <n>', 'of reads: keys that are read', number('--reads'), 1_000_000)
    .option('--partitions <n>', 'tasks per stage', number('--partitions', 1, PARTITIONS_MAX), 2)
    .option('--lanes <n>', 'of kills of `run`: cases at once', number('--lanes', 1, LANES_MAX), 2)
    .option('--case <n>', 'of kills of `run`: only this case of the seed', number('--case'))
    .option('--bug <name>', 'of bugs and rules: only this one (files of test/bugs, without ending)')
    .addHelpText('after', `\nParts:\n${parts.join('\n')}`)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
}

/** The options; a number: the exit code with which to end now, what there is to say being said. */
export function parseOptions(args: readonly string[]): Options | number {
  try {
    return command().parse(args, { from: 'user' }).opts<Options>()
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    if (!(error instanceof CommanderError || error instanceof HoldfastError)) throw error
    console.error(`test:kill: ${error.message.replace(/^(USAGE|error): /, '')}`)
    return 2
  }
}
