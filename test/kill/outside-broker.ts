// A nats-server that outlives the runs it serves, one run after the other, and what a killed run left in it.

import { existsSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FRAME_HEADER, NO_WATERMARK, parseFrameHeader } from '../../log/frame.ts'
import { connectLog, type NatsLog } from '../../log/nats-log.ts'
import { type NatsServerHandle, startNatsServer } from '../../log/nats-supervisor.ts'
import type { Destination } from '../../log/recovery.ts'
import { openRocksBackend } from '../../state/rocks-backend.ts'
import { readTaskMeta } from '../../state/task-state.ts'
import { type CommitRecord, parseCommitRecord } from '../../topology/commit-record.ts'
import { scoringStage } from '../../topology/graph.ts'
import { isPublished, ModelOutput } from '../../topology/model-registry.ts'
import { exchangeDestination, outputDestination, type Plan, type StagePlan, taskName } from '../../topology/plan.ts'

export class OutsideBroker {
  readonly #server: NatsServerHandle
  readonly #log: NatsLog

  private constructor(server: NatsServerHandle, log: NatsLog) {
    this.#server = server
    this.#log = log
  }

  static async start(storeDir: string): Promise<OutsideBroker> {
    const server = await startNatsServer({ storeDir })
    return new OutsideBroker(server, await connectLog({ servers: server.url, name: 'kill test' }))
  }

  get url(): string {
    return this.#server.url
  }

  /** Room for the next run. */
  async clear(): Promise<void> {
    for await (const { config } of this.#log.jsm.streams.list()) await this.#log.jsm.streams.delete(config.name)
  }

  /** Destinations where more is published than the writing task's state knows of: what recovery has to skip. */
  async ahead(plan: Plan, dataDir: string): Promise<number> {
    let ahead = 0
    for (const stage of plan.stages) {
      for (let partition = 0; partition < plan.partitions; partition++) {
        const numbers = (await committed(join(dataDir, 'state', taskName(stage.name, partition))))?.destinations ?? {}
        for (const destination of destinationsOf(plan, stage, partition)) {
          if ((await this.#lastNumber(destination)) > (numbers[destination.subject]?.number ?? 0)) ahead++
        }
      }
    }
    return ahead
  }

  /** Versions that are published, and have not come to hold in every task that scores, as far as those have committed. */
  async unactivated(plan: Plan, dataDir: string): Promise<number> {
    const models = (await new ModelOutput(this.#log, plan.namespace).read()).map(({ record }) => record)
    const published = models.filter(isPublished)
    if (published.length === 0) return 0
    let reached = Number.MAX_SAFE_INTEGER
    for (let partition = 0; partition < plan.partitions; partition++) {
      const record = await committed(join(dataDir, 'state', taskName(scoringStage({}), partition)))
      reached = Math.min(reached, record?.watermark ?? NO_WATERMARK)
    }
    return published.filter(({ from }) => from > reached).length
  }

  async #lastNumber({ stream, subject }: Destination): Promise<number> {
    if ((await this.#log.streamState(stream)) === null) return 0
    const last = await this.#log.lastOnSubject(stream, subject)
    const header = parseFrameHeader(last?.headers?.[FRAME_HEADER])
    return header === null ? 0 : header.first + header.count - 1
  }

  async close(): Promise<void> {
    await this.#log.close()
    await this.#server.stop()
  }
}

/** Looks at a copy: opening the state itself would repair what the next run is to find as it was left. */
async function committed(stateDir: string): Promise<CommitRecord | null> {
  if (!existsSync(stateDir)) return null
  const copy = await mkdtemp(join(tmpdir(), 'holdfast-look-'))
  try {
    await cp(stateDir, copy, { recursive: true })
    const backend = await openRocksBackend(copy)
    try {
      const meta = await readTaskMeta(backend)
      return meta === null ? null : parseCommitRecord(meta)
    } finally {
      await backend.close()
    }
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

function destinationsOf(plan: Plan, stage: StagePlan, partition: number): Destination[] {
  const writer = taskName(stage.name, partition)
  const exchanges = stage.exchanges.flatMap((exchange) =>
    Array.from({ length: plan.partitions }, (_, p) => exchangeDestination(plan, exchange.stage, p, writer)),
  )
  return [...exchanges, ...stage.outputs.map((output) => outputDestination(plan, output, partition))]
}
