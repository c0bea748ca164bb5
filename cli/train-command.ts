// `holdfast train`: models over the label rows of a run, as if they had been there while the rows became known; compared by what
// they said of each touch before its label, and the one that is asked for written to a file.
// TC1: nothing is written unless every row was read and used or counted.
// TC2: an ONNX file that is written has been loaded and asked before, as whoever scores with it will (topology/models/onnx-model.ts).

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Command, Option } from 'commander'
import { HoldfastError } from '../log/errors.ts'
import { FALLBACK, FallbackCounts, type FallbackTable } from '../ml/fallback.ts'
import { POLICIES, type Policy } from '../ml/feedback.ts'
import { loadParts, MODEL_NAMES, type ModelName, saveParts } from '../ml/models.ts'
import { exportOnnx, type GoldenRows } from '../ml/onnx-export.ts'
import { Rows } from '../ml/rows.ts'
import { FEATURES_RELEASE } from '../ml/touch-features.ts'
import { windowForm } from '../ml/window-models.ts'
import type { TouchKind, Within } from '../ml/windows.ts'
import { type AttributionWindow, lengthFor, longestWindowMs } from '../operators/attribution-settings.ts'
import { OnnxModel } from '../topology/models/onnx-model.ts'
import { attributionOf, readConfig } from './settings.ts'
import {
  compare,
  compareByAdvertiser,
  comparisonText,
  predictorOf,
  slicesText,
  train,
  trainBins,
} from './train/comparison.ts'
import { type LabelledTouches, readLabelledTouches } from './train/labelled-touches.ts'
import { wholeNumber } from './whole-number.ts'

interface TrainOptions {
  readonly touches: string
  readonly attributions?: string
  readonly config?: string
  readonly window: string
  readonly goal?: string
  readonly model?: ModelName
  readonly policy: Policy
  readonly incomplete?: boolean
  readonly judgeAfter: number
  readonly from?: string
  readonly out?: string
  readonly onnx?: string
  readonly byAdvertiser?: boolean
  readonly json?: boolean
}

/** What is written where nothing else is said. */
const MODEL: ModelName = 'ftrl'
/** Enough that each feature of a touch is in some; a loader scores them all, alone and together. */
const GOLDEN_ROWS = 16

const HELP = `
The rows come from a run:
  holdfast run --input events.ndjson --drain --out results
  holdfast train results/labels.ndjson --touches events.ndjson --out model.hf
With vectors (run --features ... --vectors all) their values are features, too: --touches results/vectors.ndjson

Every touch is scored when it comes, by a model that has seen only what was known then; the table judges these scores. docs/models.md
says what the models and policies are.`

/** Adds the command. */
export function trainCommand(program: Command): void {
  program
    .command('train')
    .description('Train models on the label rows of a run, compare them, write one.')
    .argument('<labels>', 'labels.ndjson of a run (.gz too)')
    .requiredOption(
      '--touches <file>',
      'what the touches say: the events that the run read, or its vectors.ndjson (.gz too)',
    )
    .option(
      '--attributions <file>',
      'when delayed conversions became known (default: attributions.ndjson beside the labels)',
    )
    .option('--config <file>', 'the configuration of the run, where it had one')
    .option('--window <name>', 'of attribution: what "converts" means', '7d_click')
    .option('--goal <name>', 'where goals are declared: whose conversions')
    .addOption(
      new Option('--model <name>', `train only this one (default: all, and --out writes ${MODEL})`).choices(
        MODEL_NAMES,
      ),
    )
    .addOption(
      new Option('--policy <name>', 'what is learned of labels that come late').choices(POLICIES).default(POLICIES[0]),
    )
    .option('--incomplete', 'judge also by what incomplete M rows say, whose windows the run did not see the end of')
    .option(
      '--judge-after <percent>',
      'of the touches that are left out of the table: models begin with nothing',
      wholeNumber('--judge-after', 0, 99),
      50,
    )
    .option('--from <file>', 'go on from a model that --out wrote (with --model)')
    .option('--out <file>', 'write what the model has learned')
    .option('--onnx <file>', `write what ${MODEL} has learned as an ONNX file, which \`holdfast model show\` reads`)
    .option('--by-advertiser', `the figures of that model, calibrated, for each advertiser, too`)
    .option('--json', 'print the table as JSON, and nothing else')
    .addHelpText('after', HELP)
    .action(async (labels: string, options: TrainOptions) => {
      process.stdout.write(await trained(labels, options))
    })
}

async function trained(labels: string, options: TrainOptions): Promise<string> {
  const { window, goal, policy, model, from, out, onnx, json } = options
  if (onnx !== undefined && (model ?? MODEL) !== MODEL) throw usage(`--onnx writes ${MODEL}, not ${model}`)
  if (from !== undefined && model === undefined) throw usage('--from needs --model: which of them goes on?')
  const settings = attributionOf(readConfig(options.config))
  if (settings === 'off') throw usage(`${options.config} has attribution off: its runs write no labels`)
  const attributions = options.attributions ?? join(dirname(labels), 'attributions.ndjson')
  const say = (line: string) => json !== true && process.stderr.write(`${line}\n`)
  say(`reading ${labels}, ${options.touches}, ${attributions}`)
  const files = { labels, touches: options.touches, attributions }
  const touches = await readLabelledTouches(files, { window, goal, settings, incomplete: options.incomplete === true })
  say(readText(touches, window))
  const about = { window, goal, policy, featuresRelease: FEATURES_RELEASE }
  const windowMs =
    longestWindowMs({ windows: settings.windows.filter(({ name }) => name === window) }) + settings.graceMs
  const models = (model === undefined ? MODEL_NAMES : [model]).map((name) => {
    const predictor = predictorOf(name, policy, windowMs)
    if (from !== undefined) loadParts(bytesOf(from), about, predictor.parts)
    const result = train(name, predictor, touches)
    if (predictor.learner.model.learned === 0) throw nothingLearned(options)
    say(
      `${name}: ${predictor.learner.model.learned.toLocaleString('en-US')} rows learned, ${result.seconds.toFixed(2)} s`,
    )
    return result
  })
  const bins = model === undefined && touches.bins.length > 1 ? trainBins(MODEL, touches) : null
  const comparison = compare(
    [...models.flatMap(({ said }) => said), ...(bins === null ? [] : [bins])],
    touches,
    options.judgeAfter / 100,
  )
  if (out !== undefined) {
    const written = models.find(({ name }) => name === (model ?? MODEL))!
    write(out, saveParts(about, written.predictor.parts))
    say(`${written.name} is in ${out}`)
  }
  if (onnx !== undefined) {
    const { predictor } = models.find(({ name }) => name === MODEL)!
    const within = settings.windows.find(({ name }) => name === window)!
    const form = windowForm({ name: window, ...withinAlone(within) }, predictor)
    const learned = predictor.learner.model.learned
    const fallback = fallbackOf(touches)
    const facts = { goal, features: FEATURES_RELEASE, vector: touches.vector, version: 0, parent: 0, learned, fallback }
    const bytes = exportOnnx([form], facts, goldenRows(touches))
    const loaded = await OnnxModel.load(bytes)
    await loaded.close()
    write(onnx, bytes)
    say(`${MODEL} is in ${onnx}: ${bytes.length.toLocaleString('en-US')} bytes, SHA-256 ${loaded.sha256}`)
  }
  const served = models.find(({ name }) => name === (model ?? MODEL))!.said.at(-1)!
  const slices = options.byAdvertiser === true ? compareByAdvertiser(served, touches, options.judgeAfter / 100) : null
  if (json === true)
    return `${JSON.stringify({ labels: touches.tally, ...comparison, ...(slices && { advertisers: slices }) })}\n`
  const more = slices === null ? [] : ['', ...slicesText(served.name, slices)]
  return `${[...comparisonText(comparison), ...more].join('\n')}\n`
}

/** Kinds of touches that a window names: of the others it says that they do not convert. */
function withinAlone(window: AttributionWindow): Within {
  const own = (kind: TouchKind) => (lengthFor(window, kind) === null ? null : [0])
  return { click: own('click'), impression: own('impression') }
}

/** Rates of all touches that were read. */
function fallbackOf({ rows, converted }: LabelledTouches): FallbackTable {
  const counts = new FallbackCounts({ ...FALLBACK, windows: 1 })
  for (let row = 0; row < rows.count; row++) {
    counts.vote(rows, row)
    counts.count(rows, row, 0, { touches: 1, positives: converted[row] === 1 ? 1 : 0 })
  }
  return counts.table()
}

/** The newest touches, and a row that knows nothing. */
function goldenRows({ rows, kinds }: LabelledTouches): GoldenRows {
  const golden = new Rows()
  golden.push([])
  const first = Math.max(0, rows.count - GOLDEN_ROWS)
  for (let row = first; row < rows.count; row++)
    golden.push(rows.keys.subarray(rows.starts[row]!, rows.starts[row + 1]!))
  return { rows: golden, kinds: ['click', ...kinds.slice(first)] }
}

/** A window that is no longer than the short wait has no O rows; one that has not ended in a run no complete M rows. */
function nothingLearned({ policy, window }: TrainOptions): HoldfastError {
  const rows = policy === 'wait' ? 'complete M rows' : 'O or D rows'
  const other = policy === 'wait' ? POLICIES[0] : 'wait'
  return usage(
    `nothing is learned: ${window} has no ${rows}, from which ${policy} learns (--policy ${other} does from others)`,
  )
}

function readText({ rows, tally }: LabelledTouches, window: string): string {
  const n = (kind: string) => tally[kind]!.toLocaleString('en-US')
  return [
    `${rows.count.toLocaleString('en-US')} touches; rows of ${window}: O ${n('O')}, D ${n('D')}, M ${n('M')} (complete ${n('complete')}); M of shorter windows ${n('shorter')}`,
    `not learned: C ${n('C')} (what happened), R ${n('R')} (refunds), ${n('other')} of other windows or goals`,
  ].join('; ')
}

function bytesOf(file: string): Uint8Array {
  if (!existsSync(file)) throw usage(`there is no file ${file}`)
  return readFileSync(file)
}

/** The file is whole or is not there. */
function write(file: string, bytes: Uint8Array): void {
  try {
    writeFileSync(`${file}.part`, bytes)
    renameSync(`${file}.part`, file)
  } catch (error) {
    throw usage(`cannot write ${file}: ${(error as Error).message}`)
  }
}

const usage = (what: string): HoldfastError => new HoldfastError('USAGE', what)
