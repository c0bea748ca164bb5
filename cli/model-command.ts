// `holdfast model list | show | diff | activate | rollback | evaluate`: models, as files and as the versions of a namespace.
// It talks to NATS and not to a node (docs/decisions/0006-configuration-over-nats.md): a node that is down keeps nobody from going back.
// What is done is in cli/model-versions.ts, what is printed in cli/model-text.ts; `evaluate` is cli/evaluate/'s.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { HoldfastError } from '../log/errors.ts'
import { MODELS, type ModelRecord } from '../operators/model-records.ts'
import type { ModelFile } from '../topology/models/model-file.ts'
import { OnnxModel } from '../topology/models/onnx-model.ts'
import { evaluateCommand } from './evaluate/evaluate-command.ts'
import {
  type Compared,
  differenceOf,
  differenceText,
  type ListedModel,
  listed,
  listText,
  modelText,
  recordText,
} from './model-text.ts'
import { activate, rollback, type Where, withVersions } from './model-versions.ts'
import { timeMs } from './time-argument.ts'

const SHOW_HELP = `
A number is a version of the namespace that --nats has; anything else is a file.
A file is loaded as a scorer would load it: its bytes, its features, its golden rows, each row alone and among others.
What is not sound is refused, with the reason and exit code 2.`

const DIFF_HELP = `
Each is a version (with --nats) or a file. Weights are named by their places in the table: the key of a feature modulo its size.
Golden rows are those of both; what each says of them is asked of the ONNX runtime. Exit 0: equal, 1: different.`

const ACTIVATE_HELP = `
The file is loaded and asked its golden rows before anything is written. A running node hears of it, and brings it to its tasks; what is
processed after that is scored with it. Versions that the trainer published before do not become live by themselves any more.`

const ROLLBACK_HELP = `
As activate, with an older version: the parent of the live one, or the one that is named. No version that was published before that
becomes live again by itself. A later one does, once the trainer has compared it with the one that is live then.`

const DIFFERENT = 1

interface Choice {
  readonly nats?: string
  readonly namespace: string
  readonly json?: boolean
}

/** Adds the command. */
export function modelCommand(program: Command): void {
  const model = program.command('model').description('Look at models, and say which version scores.')
  evaluateCommand(model)
  where(model.command('list'))
    .description(
      'The versions of a namespace or of a run: parents, metrics, which is live since when, refusals and why.',
    )
    .option('--out <dir>', `of a run's results, instead of --nats: its ${MODELS}.ndjson`)
    .option('--json', 'print a JSON object a line')
    .action(async (choice: Choice & { out?: string }) => list(choice))
  where(model.command('show'))
    .description('Load a version, or an ONNX file that `holdfast train --onnx` wrote; check it, and say what it is.')
    .argument('<model>', 'number of a version, or a file')
    .option('--sha256 <hex>', 'of the file that is meant')
    .option('--json', 'print its manifest as JSON')
    .addHelpText('after', SHOW_HELP)
    .action(async (name: string, choice: Choice & { sha256?: string }) => show(name, choice))
  where(model.command('diff'))
    .description('Compare two versions or files: facts and metrics, the weights that changed most, golden rows.')
    .argument('<before>', 'number of a version, or a file')
    .argument('<after>', 'number of a version, or a file')
    .option('--json', 'print the difference as JSON')
    .addHelpText('after', DIFF_HELP)
    .action(async (before: string, after: string, choice: Choice) => {
      const difference = await differenceOf(await comparedOf(before, choice), await comparedOf(after, choice))
      print(choice.json === true ? [JSON.stringify(difference)] : differenceText(difference))
      if (difference.facts.length > 0) process.exitCode = DIFFERENT
    })
  where(model.command('activate'))
    .description('Make a version score.')
    .argument('<version>', 'its number', versionNumber)
    .option(
      '--from <time>',
      'event time from which it holds: milliseconds since 1970, or like 2026-01-31T12:00:00Z',
      (text) => timeMs('--from', text),
    )
    .addHelpText('after', ACTIVATE_HELP)
    .action(async (version: number, choice: Choice & { from?: number }) =>
      print([await withVersions(whereOf(choice), (versions) => activate(versions, version, choice.from ?? 0))]),
    )
  where(model.command('rollback'))
    .description('Make an older version score again.')
    .argument('[version]', 'its number; not given: the parent of the live one', versionNumber)
    .addHelpText('after', ROLLBACK_HELP)
    .action(async (version: number | undefined, choice: Choice) =>
      print([await withVersions(whereOf(choice), (versions) => rollback(versions, version))]),
    )
}

const where = (command: Command): Command =>
  command
    .option('--nats <url>', 'the server of the namespace; a node says at its start where its own is')
    .option('--namespace <name>', 'which', 'holdfast')

function whereOf({ nats, namespace }: Choice): Where {
  if (nats !== undefined) return { nats, namespace }
  throw new HoldfastError('USAGE', 'versions are on a server: --nats says where')
}

function versionNumber(text: string): number {
  if (isVersion(text)) return Number(text)
  throw new InvalidArgumentError('a version is a number from 1.')
}

const isVersion = (text: string): boolean => /^[1-9]\d{0,8}$/.test(text)

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}

async function list(choice: Choice & { out?: string }): Promise<void> {
  const { out, nats, json } = choice
  if (out !== undefined && nats !== undefined) throw new HoldfastError('USAGE', '--out or --nats, not both')
  const models: readonly ListedModel[] =
    out === undefined
      ? await withVersions(whereOf(choice), async ({ models, activations }) =>
          listed(
            models.map(({ record }) => record),
            activations,
            Date.now(),
          ),
        )
      : recordsIn(join(out, `${MODELS}.ndjson`))
  print(json === true ? models.map((one) => JSON.stringify(one)) : listText(models))
}

/** Of a run, in which each version holds by itself from its time on. */
function recordsIn(file: string): ModelRecord[] {
  if (!existsSync(file))
    throw new HoldfastError('USAGE', `there is no ${file}: the run did not train, or has not ended`)
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ModelRecord)
}

async function show(name: string, choice: Choice & { sha256?: string }): Promise<void> {
  const { bytes, record } = await comparedOf(name, choice)
  const model = await OnnxModel.load(bytes, choice.sha256)
  await model.close()
  if (choice.json === true) return print([JSON.stringify(model.manifest)])
  print([...modelText(model, bytes!.length), ...(record === null ? [] : recordText(record))])
}

/** A version, or a file; `bytes` null: there is no such file. */
async function comparedOf(name: string, choice: Choice): Promise<Compared> {
  if (!isVersion(name)) return { name, bytes: bytesOf(name), record: null }
  return withVersions(whereOf(choice), async (versions) => {
    const number = Number(name)
    return { name: `version ${name}`, bytes: await versions.file(number), record: versions.version(number) }
  })
}

const bytesOf = (file: string): Uint8Array | null => (existsSync(file) ? readFileSync(file) : null)

/** The file of --model, found sound. Throws MODEL_REFUSED; undefined: none was named. */
export async function chosenModel(file: string | undefined): Promise<ModelFile | undefined> {
  return file === undefined ? undefined : soundFile(file)
}

/** Those of --shadow, as chosenModel(); one after the other, as each takes memory to be asked. */
export async function chosenShadows(files: readonly string[] = []): Promise<readonly ModelFile[]> {
  const chosen: ModelFile[] = []
  for (const file of files) chosen.push(await soundFile(file))
  return chosen
}

async function soundFile(file: string): Promise<ModelFile> {
  const bytes = bytesOf(file)
  const model = await OnnxModel.load(bytes)
  await model.close()
  return { bytes: bytes!, sha256: model.sha256 }
}
