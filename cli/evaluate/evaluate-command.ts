// `holdfast model evaluate`: how good the scores of a run were, from its files.
// EC1: nothing is printed or written unless every score and every label row was read and used or counted.

import { existsSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { HoldfastError } from '../../log/errors.ts'
import { type AttributionSettings, longestWindowMs } from '../../operators/attribution-settings.ts'
import { readLabelledTouches } from '../train/labelled-touches.ts'
import { wholeNumber } from '../whole-number.ts'
import { evaluationPicture } from './evaluation-picture.ts'
import { type JudgedWindow, judgedText, judgeWindow } from './judged-window.ts'
import { readScores, type Scores } from './score-lines.ts'

interface EvaluateOptions {
  readonly scores?: string
  readonly touches?: string
  readonly attributions?: string
  readonly config?: string
  readonly window?: string
  readonly goal?: string
  readonly incomplete?: boolean
  readonly judgeAfter: number
  readonly svg?: string
  readonly json?: boolean
}

const HELP = `
The files come from a run that scores:
  holdfast run --input events.ndjson --drain --out results --model model.onnx
  holdfast model evaluate results --touches events.ndjson
What is told of each window: normalised entropy, AUC and calibration of what was served, beside a rate alone and one smoothed counter
for each advertiser in the same resamples; then by version, type and advertiser. docs/models.md says what the columns are.`

/** Adds the command to those of models. */
export function evaluateCommand(model: Command): void {
  model
    .command('evaluate')
    .description('How good the scores of a run were, by what became of the touches.')
    .argument('<run>', 'directory of its results, or its labels.ndjson (.gz too)')
    .option('--scores <file>', 'what was said of the touches (default: scores.ndjson beside the labels)')
    .option(
      '--touches <file>',
      'what the touches say: the events that the run read (default: vectors.ndjson beside the labels)',
    )
    .option(
      '--attributions <file>',
      'when delayed conversions became known (default: attributions.ndjson beside the labels)',
    )
    .option('--config <file>', 'the configuration of the run, where it had one')
    .option('--window <name>', 'only this one (default: all of which something was said)')
    .option('--goal <name>', 'where goals are declared: whose conversions')
    .option('--incomplete', 'judge also by what incomplete M rows say, whose windows the run did not see the end of')
    .option('--judge-after <percent>', 'of the touches that are left out', wholeNumber('--judge-after', 0, 99), 0)
    .option('--svg <file>', 'curves of calibration, and figures day by day, as a picture')
    .option('--json', 'print the report as JSON, and nothing else')
    .addHelpText('after', HELP)
    .action(async (run: string, options: EvaluateOptions) => {
      process.stdout.write(await evaluated(run, options))
    })
}

async function evaluated(run: string, options: EvaluateOptions): Promise<string> {
  // Most of what this command loads; the other commands of models do without.
  const { attributionOf, readConfig } = await import('../settings.ts')
  const settings = attributionOf(readConfig(options.config))
  if (settings === 'off') throw usage(`${options.config} has attribution off: its runs write no labels`)
  const files = filesOf(run, options)
  const scores = await readScores(options.scores ?? join(dirname(files.labels), 'scores.ndjson'))
  const windows = windowsOf(scores.served, settings, options.window)
  const judged: JudgedWindow[] = []
  const missing: string[] = []
  for (const window of windows) {
    const ask = { window, goal: options.goal, settings, incomplete: options.incomplete === true }
    const touches = await readLabelledTouches(files, ask)
    const windowMs =
      longestWindowMs({ windows: settings.windows.filter(({ name }) => name === window) }) + settings.graceMs
    const one = judgeWindow(window, touches, scores, { windowMs, skippedShare: options.judgeAfter / 100 })
    if (typeof one === 'string') missing.push(one)
    else judged.push(one)
  }
  if (judged.length === 0) throw usage(missing.join('; '))
  if (options.svg !== undefined) writePicture(options.svg, judged)
  if (options.json === true) return `${JSON.stringify({ windows: judged, missing })}\n`
  return `${[...judged.map((one) => judgedText(one).join('\n')), ...missing].join('\n\n')}\n`
}

function filesOf(run: string, options: EvaluateOptions) {
  if (!existsSync(run)) throw usage(`there is no ${run}`)
  const labels = statSync(run).isDirectory() ? join(run, 'labels.ndjson') : run
  const beside = (name: string) => join(dirname(labels), name)
  const touches = options.touches ?? beside('vectors.ndjson')
  if (!existsSync(touches)) throw usage(`there is no ${touches}: --touches names the events that the run read`)
  return { labels, touches, attributions: options.attributions ?? beside('attributions.ndjson') }
}

/** Those of which something was said, in the order of the configuration. */
function windowsOf(scores: Scores, { windows }: AttributionSettings, asked: string | undefined): readonly string[] {
  const said = new Set<string>()
  for (const { p } of scores.values()) for (const window in p) said.add(window)
  const known = windows.map(({ name }) => name).filter((name) => said.has(name))
  if (asked !== undefined && !known.includes(asked))
    throw usage(`nothing was said of ${asked}; of ${known.join(', ') || 'no window'}`)
  if (known.length === 0) throw usage('nothing was said of any window of the configuration: has another one scored?')
  return asked === undefined ? known : [asked]
}

function writePicture(file: string, judged: readonly JudgedWindow[]): void {
  try {
    writeFileSync(file, evaluationPicture(judged))
  } catch (error) {
    throw usage(`cannot write ${file}: ${(error as Error).message}`)
  }
}

const usage = (what: string): HoldfastError => new HoldfastError('USAGE', what)
