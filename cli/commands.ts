// The commands of `holdfast`. Each is a file of its own; here are only names and options.

import type { Command } from 'commander'
import { PARTITIONS_MAX } from '../topology/dsl.ts'
import { runtimeOf } from '../topology/kill-point.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { byteCount } from './byte-count.ts'
import { capacityCommand } from './capacity-command.ts'
import { configCommand } from './config-command.ts'
import { EXIT } from './exit-code.ts'
import { chosenFeatures, chosenVectors } from './features/declarations-file.ts'
import { featuresCommand } from './features/features-command.ts'
import { SVG_HELP } from './features/picture-file.ts'
import { generateCommand } from './generate/generate-command.ts'
import { auditLog, auditText, explain } from './inspect-commands.ts'
import { chosenModel, chosenShadows, modelCommand } from './model-command.ts'
import { runNode } from './node-command.ts'
import { queryCommand } from './query-command.ts'
import { reportCommand } from './report-command.ts'
import { rootCommand } from './root-command.ts'
import { freshNamespace, isAccountedFor, run } from './run-command.ts'
import { conservationText, type Summary } from './run-results.ts'
import { sendCommand } from './send-command.ts'
import {
  LOG_BYTES_DEFAULT,
  readNodeConfig,
  readRunConfig,
  refuseGiven,
  THREADS_DEFAULT,
  THREADS_MAX,
} from './settings.ts'
import { tokenCommand } from './token-command.ts'
import { topCommand } from './top-command.ts'
import { trainCommand } from './train-command.ts'
import { wholeNumber } from './whole-number.ts'

const FEATURES_HELP =
  'keep what this file declares (docs/features.md), or "application" (default: page views of the last hour)'
const VECTORS_HELP =
  'with --features: publish the vector of each impression and click: "all", or ids of features with commas between them'
const SHADOW_HELP = 'beside what scores, publish what this ONNX file says, and nothing else of it (again for another)'
const MEMORY_HELP = 'memory of the process, like 2G; what would outgrow it is refused (default: all there is)'
const LOG_BYTES = wholeNumber('--log-bytes', 1 << 20, 2 ** 50)
const THREADS = wholeNumber('--threads', 1, THREADS_MAX)
/** Of the HTTP door, where nothing else is said. */
const HTTP_PORT = 8080

/** Of an option that may be given again. */
const another = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** With all of them. */
export const program = rootCommand()

program
  .command('run')
  .description('Process a file of events (NDJSON, .gz too) to its end and write the results.')
  .requiredOption('--input <file>', 'events, one JSON object a line; .gz is unpacked')
  .requiredOption('--out <dir>', 'where summary.json and the files of lines go')
  .requiredOption('--drain', 'end when the file ends (a live node is another command)')
  .option('--partitions <n>', 'tasks per stage', wholeNumber('--partitions', 1, PARTITIONS_MAX), 1)
  .option(
    '--config <file>',
    'settings as JSON: {"anonymous": "reject" | "accept", "bots": "count" | "mark" | "drop", "latenessMs": 600000}',
  )
  .option('--features <file>', FEATURES_HELP)
  .option('--vectors <features>', VECTORS_HELP)
  .option(
    '--model <file>',
    'score with this ONNX file (holdfast train --onnx), and not with models that learn on the way',
  )
  .option(
    '--no-scoring',
    'train and score nothing (default: models learn from the labels on the way and score each touch; "scoring" of --config has their settings)',
  )
  .option('--shadow <file>', SHADOW_HELP, another)
  .option('--nats <url>', 'use this server instead of starting one')
  .option('--namespace <name>', 'prefix of all streams (with --nats; default: a new one)')
  .option('--data-dir <dir>', 'keep log and state here: an interrupted run goes on from it')
  .option(
    '--log-bytes <n>',
    'room for all streams together (default: by the size of the file, 4 GiB at least; with --nats 4 GiB)',
    LOG_BYTES,
  )
  .option('--threads <n>', 'threads that the tasks are spread over (speed only)', THREADS, THREADS_DEFAULT)
  .option('--memory <bytes>', MEMORY_HELP, byteCount('--memory'))
  .option(
    '--slice-records <n>',
    'records computed at once (speed only)',
    wholeNumber('--slice-records', 1, 4096),
    DEFAULT_TUNING.sliceMax,
  )
  .option(
    '--commit-records <n>',
    'records of a commit at most (speed only)',
    wholeNumber('--commit-records', 1, 1_000_000),
    DEFAULT_TUNING.commitRecordsMax,
  )
  .option('--json', 'print the summary as JSON, and nothing else')
  .action(async (o) => {
    const isFreshNamespace = o.namespace === undefined && o.nats !== undefined && o.dataDir === undefined
    const namespace = o.namespace ?? (isFreshNamespace ? freshNamespace() : 'run')
    const summary = await run(
      {
        input: o.input,
        out: o.out,
        partitions: o.partitions,
        config: readRunConfig(o.config, o),
        features: chosenFeatures(o.features),
        vectors: chosenVectors(o.vectors),
        model: await chosenModel(o.model),
        shadows: await chosenShadows(o.shadow),
        nats: o.nats,
        dataDir: o.dataDir,
        namespace,
        isFreshNamespace,
        threads: o.threads,
        sliceRecords: o.sliceRecords,
        commitRecords: o.commitRecords,
        logBytes: o.logBytes,
        memory: o.memory,
        quiet: o.json === true,
      },
      runtimeOf(process.env),
    )
    process.stdout.write(o.json === true ? `${JSON.stringify(summary)}\n` : describe(summary, o.out))
    if (!isAccountedFor(summary)) throw new Error('not everything that was read is accounted for; see the summary')
  })

program
  .command('node')
  .description('Run all tasks on a live log until Ctrl-C. Events come in on <namespace>.in.<user_id>.')
  .requiredOption('--data-dir <dir>', 'state, and the log where the server is our own')
  .option('--namespace <name>', 'prefix of all streams', 'holdfast')
  .option('--partitions <n>', 'tasks per stage', wholeNumber('--partitions', 1, PARTITIONS_MAX), 1)
  .option(
    '--config <file>',
    'what a new namespace begins with, as JSON: the settings of run, "http" (see docs/pixels.md) and "quotas"; later: config apply',
  )
  .option('--features <file>', FEATURES_HELP)
  .option('--vectors <features>', VECTORS_HELP)
  .option('--shadow <file>', SHADOW_HELP, another)
  .option('--nats <url>', 'use this server or cluster instead of starting one')
  .option('--port <n>', 'port of our own server on loopback (default: a free one)', wholeNumber('--port', 1, 65_535))
  .option('--replicas <n>', 'copies of each stream in a cluster', wholeNumber('--replicas', 1, 5), 1)
  .option('--log-bytes <n>', 'room for all streams together', LOG_BYTES, LOG_BYTES_DEFAULT.node)
  .option('--threads <n>', 'threads that the tasks are spread over (speed only)', THREADS, THREADS_DEFAULT)
  .option(
    '--bulk-share <percent>',
    'what uploads may be of the records of a commit while live events come (speed only)',
    wholeNumber('--bulk-share', 1, 100),
    100 * DEFAULT_TUNING.fedShare,
  )
  .option('--memory <bytes>', MEMORY_HELP, byteCount('--memory'))
  .option(
    '--expect-ids-per-day <n>',
    'different events a day; a node whose filters of them would not fit is refused',
    wholeNumber('--expect-ids-per-day', 1, 1e12),
  )
  .option('--http-port <n>', 'port of the HTTP door; 0: a free one', wholeNumber('--http-port', 0, 65_535), HTTP_PORT)
  .option('--http-host <address>', 'where it listens; others than loopback need --token-file', '127.0.0.1')
  .option('--token-file <file>', 'who may come in through it, made by `token` (default: everybody, on loopback)')
  .option('--no-http', 'no HTTP door')
  .action(async (o, command: Command) => {
    const { dataDir, namespace, partitions, nats, port, replicas, logBytes, threads } = o
    if (!o.http) refuseGiven(command, ['httpPort', 'httpHost', 'tokenFile'], '--no-http')
    const config = readNodeConfig(o.config)
    const http = o.http ? { host: o.httpHost, port: o.httpPort, tokenFile: o.tokenFile } : null
    const { memory, expectIdsPerDay } = o
    const limits = { logBytes, memory, expectIdsPerDay }
    const options = {
      ...{ dataDir, namespace, partitions, nats, port, replicas, ...limits, threads, config, http },
      configFile: o.config,
      bulkShare: o.bulkShare / 100,
      features: chosenFeatures(o.features),
      vectors: chosenVectors(o.vectors),
      shadows: await chosenShadows(o.shadow),
    }
    await runNode(options, runtimeOf(process.env), (line) => process.stderr.write(`${line}\n`))
  })

configCommand(program)
queryCommand(program)
reportCommand(program)
topCommand(program)
sendCommand(program)
tokenCommand(program)
capacityCommand(program)
trainCommand(program)
modelCommand(program)

generateCommand(program.command('generate'))
featuresCommand(program.command('features'))

const planOptions = (command: Command): Command =>
  command
    .option('--data-dir <dir>', 'the directory of a run or a node: its plan, its tasks, its log')
    .option('--live', 'without --data-dir: the plan of `node`, not of `run`')
    .option('--namespace <name>', 'without --data-dir: prefix of all streams')
    .option(
      '--partitions <n>',
      'without --data-dir: tasks per stage',
      wholeNumber('--partitions', 1, PARTITIONS_MAX),
      1,
    )
    .option('--config <file>', 'without --data-dir: settings as JSON, see run')
    .option('--features <file>', `without --data-dir: ${FEATURES_HELP}`)
    .option('--vectors <features>', `without --data-dir: ${VECTORS_HELP}`)

/** Of a directory the plan is known: another one that is asked for would not be shown. */
const refuseAnotherPlan = (dataDir: string | undefined, command: Command): void => {
  if (dataDir !== undefined)
    refuseGiven(command, ['live', 'namespace', 'partitions', 'config', 'features', 'vectors'], '--data-dir')
}

planOptions(program.command('explain'))
  .description('Print the plan: stages, operators, tasks, streams; with --data-dir also what each task has done.')
  .option('--log-bytes <n>', 'room for all streams together (default: that of the command)', LOG_BYTES)
  .option('--json', 'as JSON')
  .option('--svg <file>', SVG_HELP)
  .action(async (o, command: Command) => {
    refuseAnotherPlan(o.dataDir, command)
    const form = { logBytes: o.logBytes, asJson: o.json === true, svg: o.svg }
    process.stdout.write(await explain({ ...o, live: o.live === true }, form))
  })

planOptions(program.command('audit'))
  .description("Walk every writer's frames in the log: numbers, chains, positions. Exit 1 if anything does not add up.")
  .option('--nats <url>', 'the server whose log to walk (default: the one of --data-dir)')
  .option('--json', 'as JSON')
  .action(async (o, command: Command) => {
    refuseAnotherPlan(o.dataDir, command)
    const report = await auditLog({ ...o, live: o.live === true }, o.nats, (line) => process.stderr.write(`${line}\n`))
    process.stdout.write(o.json === true ? `${JSON.stringify(report, null, 2)}\n` : auditText(report))
    if (report.faults.length > 0) process.exitCode = EXIT.failed
  })

function describe(summary: Summary, out: string): string {
  const n = (value: number) => value.toLocaleString('en-US')
  const asOf = summary.as_of === null ? 'none' : `${summary.as_of} (${new Date(summary.as_of).toISOString()})`
  return [
    `read ${n(summary.read)} = accepted ${n(summary.accepted)} + duplicates ${n(summary.duplicates)} + dead letters ${n(summary.dead_letters)}`,
    `late ${n(summary.late)} · as of ${asOf} · ${summary.wall_seconds} s · start ${summary.starts}`,
    ...conservationText(summary),
    `results in ${out}`,
    '',
  ].join('\n')
}
