// `holdfast explain` (the plan, and what its tasks have done) and `holdfast audit` (every chain in the log).

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../log/errors.ts'
import type { Backend } from '../state/backend.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { readTaskMeta } from '../state/task-state.ts'
import { type AuditReport, audit } from '../topology/audit.ts'
import { type CommitRecord, parseCommitRecord } from '../topology/commit-record.ts'
import { explainJson, explainText } from '../topology/explain.ts'
import { explainFeatures } from '../topology/features/explanation.ts'
import { type Plan, taskName } from '../topology/plan.ts'
import { openBroker } from './broker.ts'
import { type PlanShape, readShape } from './data-directory.ts'
import { chosenFeatures, chosenVectors } from './features/declarations-file.ts'
import { writePicture } from './features/picture-file.ts'
import { livePlanOf } from './node-command.ts'
import { planOf } from './run-command.ts'
import { LOG_BYTES_DEFAULT, readNodeConfig, readRunConfig } from './settings.ts'

/** Which plan is meant: the one of a directory, or one from options. */
export interface PlanChoice {
  readonly dataDir: string | undefined
  readonly live: boolean
  readonly namespace: string | undefined
  readonly partitions: number
  readonly config: string | undefined
  readonly features: string | undefined
  readonly vectors: string | undefined
}

/** From what a plan is made, and whether it is that of a node. */
type ChosenShape = PlanShape & { readonly live: boolean; readonly logBytes?: number | undefined }

/** Throws USAGE where a directory holds no run and no node. */
async function chosenShape({ dataDir, live, ...choice }: PlanChoice): Promise<ChosenShape> {
  if (dataDir !== undefined) return readShape(dataDir)
  const { namespace, partitions, config, features, vectors } = choice
  return {
    live,
    namespace: namespace ?? (live ? 'holdfast' : 'run'),
    partitions,
    config: live ? readNodeConfig(config) : readRunConfig(config, {}),
    features: chosenFeatures(features),
    vectors: chosenVectors(vectors),
  }
}

const planFrom = (shape: ChosenShape): Plan => (shape.live ? livePlanOf(shape) : planOf(shape))

/** The plan of the run or node that a directory holds. Throws USAGE where there is none. */
export async function planOfDirectory(path: string): Promise<Plan> {
  return planFrom(await readShape(path))
}

/** Opens the state of a task of a directory whose run or node has ended; null where there is none. */
export const stateOpener =
  (dataDir: string) =>
  async (task: string): Promise<Backend | null> => {
    const path = join(dataDir, 'state', task)
    return existsSync(path) ? openRocksBackend(path) : null
  }

/** Throws USAGE where a directory holds no run and no node. */
export async function chosenPlan(choice: PlanChoice): Promise<Plan> {
  return planFrom(await chosenShape(choice))
}

/** How the plan is told. */
export interface ExplainForm {
  /** Room for all streams together; undefined: that of the command. */
  readonly logBytes: number | undefined
  readonly asJson: boolean
  /** A file for the picture of its declared features; undefined: none. */
  readonly svg: string | undefined
}

/** The plan as text or JSON. With a data directory also how many records each task has had. Throws USAGE where nothing can be drawn. */
export async function explain(choice: PlanChoice, { logBytes, asJson, svg }: ExplainForm): Promise<string> {
  const shape = await chosenShape(choice)
  const plan = planFrom(shape)
  if (svg !== undefined) {
    if (shape.features === undefined)
      throw new HoldfastError('USAGE', '--svg draws declared features, and this plan has none: see --features')
    writePicture(svg, explainFeatures(shape.features))
  }
  const commits = choice.dataDir === undefined ? new Map<string, CommitRecord>() : await commitsIn(choice.dataDir, plan)
  const totalBytes = logBytes ?? shape.logBytes ?? LOG_BYTES_DEFAULT[plan.clock === 'wall' ? 'node' : 'run']
  const streams = { totalBytes, replicas: 1 }
  if (asJson) return `${JSON.stringify(explainJson(plan, streams, commits), null, 2)}\n`
  return `${explainText(plan, streams, commits).join('\n')}\n`
}

async function commitsIn(dataDir: string, plan: Plan): Promise<Map<string, CommitRecord>> {
  const commits = new Map<string, CommitRecord>()
  for (const stage of plan.stages) {
    for (let partition = 0; partition < plan.partitions; partition++) {
      const task = taskName(stage.name, partition)
      const path = join(dataDir, 'state', task)
      if (!existsSync(path)) continue
      const backend = await openRocksBackend(path)
      try {
        const meta = await readTaskMeta(backend)
        if (meta !== null) commits.set(task, parseCommitRecord(meta))
      } finally {
        await backend.close()
      }
    }
  }
  return commits
}

/** Walks the log of a data directory (with a server of our own) or of --nats. */
export async function auditLog(
  choice: PlanChoice,
  nats: string | undefined,
  say: (line: string) => void,
): Promise<AuditReport> {
  if (nats === undefined && choice.dataDir === undefined)
    throw new HoldfastError('USAGE', 'audit needs --data-dir or --nats')
  const plan = await chosenPlan(choice)
  const storeDir = join(choice.dataDir ?? '', 'nats')
  const broker = await openBroker({ nats, storeDir, name: 'audit', mappings: {}, say })
  try {
    return await audit(plan, broker.log)
  } finally {
    await broker.close()
  }
}

export function auditText({ rows, faults }: AuditReport): string {
  const lines = rows.map(({ stream, writer, messages, records, generations, trimmed }) => {
    const missing = trimmed === 0 ? '' : ` · ${trimmed} records trimmed`
    return `  ${stream}  ${writer}: ${messages} messages, ${records} records, ${generations} generations${missing}`
  })
  const verdict =
    faults.length === 0
      ? 'no faults: numbers gapless, chains unbroken, positions never go back'
      : `${faults.length} faults`
  return `${[...lines, ...faults.map((fault) => `FAULT ${fault}`), verdict].join('\n')}\n`
}
