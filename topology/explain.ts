// The plan in words: which tasks there are, what runs in them, where records go, and how the room in the log is shared.

import type { CommitRecord } from './commit-record.ts'
import { MODEL_EXCHANGE } from './feedback.ts'
import { operatorIdentity, type Plan, SOURCE, type StagePlan, takesEvents, taskName, taskNames } from './plan.ts'
import { type StreamSettings, streamSpecs } from './streams.ts'

/** What is known of a task that has run: its last commit. */
export type TaskCommits = ReadonlyMap<string, CommitRecord>

/** The plan as lines for a terminal. `commits`: of tasks that have run, so that each can say how many records it had. */
export function explainText(plan: Plan, settings: StreamSettings, commits: TaskCommits): string[] {
  const tasks = plan.stages.length * plan.partitions
  return [
    `${plan.name} · namespace ${plan.namespace} · clock ${plan.clock} · lateness ${plan.latenessMs} ms`,
    `${plan.stages.length} stages x ${plan.partitions} partitions = ${tasks} tasks · plan ${plan.fingerprint.slice(0, 12)}`,
    ...plan.stages.flatMap((stage) => ['', ...explainStage(plan, stage, commits)]),
    '',
    'streams (room in the log)',
    ...streamSpecs(plan, settings).map(({ name, maxBytes }) => `  ${name}  ${Math.round(maxBytes / 2 ** 20)} MiB`),
  ]
}

function explainStage(plan: Plan, stage: StagePlan, commits: TaskCommits): string[] {
  const lines = [`stage ${stage.name}${stage.ingress === null ? '' : '  (source)'}`]
  if (takesEvents(stage))
    lines.push(`  reads      events from ${plan.clock === 'data' ? stage.writers.join(', ') : 'clients'}`)
  for (const { stage: from, codec } of stage.inputs)
    lines.push(`  reads      ${codec.name} from ${taskNames(from, plan.partitions).join(', ')}`)
  if (stage.feedback !== null) {
    const { stage: from, periodMs, delayMs } = stage.feedback
    lines.push(
      `  hears      ${MODEL_EXCHANGE.name} from ${taskNames(from, plan.partitions).join(', ')}, made each ${periodMs} ms, held ${delayMs} ms later`,
    )
  }
  if (stage.ingress !== null) lines.push(`  first      ${stage.ingress.name}`)
  stage.nodes.forEach(({ operator, from, stores }, i) => {
    const after = from === SOURCE ? (stage.ingress?.name ?? 'input') : stage.nodes[from]!.operator.name
    const kept = stores.map((store) => `${store.kind} ${store.name}`).join(', ')
    lines.push(`  operator ${i} ${operator.name}  after ${after}${kept === '' ? '' : `  keeps ${kept}`}`)
  })
  for (const { stage: to, codec, promises } of stage.exchanges)
    lines.push(
      `  sends      ${codec.name} ${promises === undefined ? 'to' : 'back to'} stage ${to}${stage.feeds === null ? '' : ', at the pace of its commits'}`,
    )
  for (const { name, mode } of stage.outputs) lines.push(`  publishes  ${name} (${mode})`)
  for (let p = 0; p < plan.partitions; p++) lines.push(explainTask(taskName(stage.name, p), commits))
  return lines
}

function explainTask(task: string, commits: TaskCommits): string {
  const commit = commits.get(task)
  if (commit === undefined) return `  task ${task}`
  const { epoch, generation, position, tally, drained } = commit
  const records = tally.counts.records ?? 0
  return `  task ${task}  ${records} records · ${epoch} commits · generation ${generation} · at ${position.seq}${drained ? ' · drained' : ''}`
}

/** The plan as JSON, for programs. */
export function explainJson(plan: Plan, settings: StreamSettings, commits: TaskCommits): unknown {
  return {
    name: plan.name,
    namespace: plan.namespace,
    clock: plan.clock,
    partitions: plan.partitions,
    latenessMs: plan.latenessMs,
    fingerprint: plan.fingerprint,
    stages: plan.stages.map((stage) => ({
      name: stage.name,
      writers: stage.writers,
      ingress: stage.ingress === null ? null : operatorIdentity(stage.ingress),
      operators: stage.nodes.map(({ operator, from }) => ({ from, ...(operatorIdentity(operator) as object) })),
      exchanges: stage.exchanges.map(({ stage: to, codec }) => ({ stage: to, record: codec.name })),
      outputs: stage.outputs,
      tasks: Array.from({ length: plan.partitions }, (_, p) => {
        const name = taskName(stage.name, p)
        const commit = commits.get(name)
        return { name, records: commit?.tally.counts.records ?? null, commits: commit?.epoch ?? null }
      }),
    })),
    streams: streamSpecs(plan, settings),
  }
}
