// What an event costs a live node that keeps the application's features: a generated world comes in through its front door at a
// steady rate, and the CPU time of the node's process is counted, with everything that it does: door, log, tasks, state.
// LF1: a batch that was not taken fails: the figure would be of another load. How fast they came is told, not what was meant.

import { join } from 'node:path'
import { SPEED_MAX, world } from '../cli/generate/world.ts'
import { EVENTS_PER_USER, isObject } from './feature-cells.ts'
import { HttpConnections, requestBytes } from './http-connections.ts'
import { cpuSecondsOf } from './meter.ts'
import { caughtUp, withNode } from './node-process.ts'
import { openLoad } from './pace.ts'

export interface LiveFeatures {
  /** That the node took. */
  readonly events: number
  /** From the first to the last answer. */
  readonly seconds: number
  /** Of the node alone, until all of it was applied. */
  readonly nodeCpuSeconds: number
}

export interface LiveOptions {
  readonly directory: string
  /** Of the measurement, without warm-up. */
  readonly seconds: number
  readonly partitions: number
  readonly threads: number
}

/** Events a second: a part of a core, so that on two cores the load and the server do not stand in the node's way. */
const EVENTS_PER_S = 2_000
const BATCH_EVENTS = 100
/** Share of the measurement that is done before, unmeasured: code is compiled then. */
const WARM_UP = 0.5
const CONNECTIONS = 16
const WORLD = { pages: 500, ads: 200, campaigns: 40, advertisers: 10, seed: 1, live: true } as const

export async function liveFeatures(o: LiveOptions): Promise<LiveFeatures> {
  const args = ['--data-dir', join(o.directory, 'live-node'), '--features', 'application']
  args.push('--partitions', String(o.partitions), '--threads', String(o.threads))
  return withNode(args, null, async ({ url, pid }) => {
    const connections = new HttpConnections(url, CONNECTIONS)
    try {
      return await measured(o.seconds, pid, connections)
    } finally {
      connections.close()
    }
  })
}

async function measured(seconds: number, nodePid: number, connections: HttpConnections): Promise<LiveFeatures> {
  const batches = batchesFor(seconds * (1 + WARM_UP))
  let taken = 0
  const perSecond = EVENTS_PER_S / BATCH_EVENTS
  const load = (s: number) =>
    openLoad({ perSecond, seconds: s }, (done) => {
      const { value } = batches.next()
      const isSent = connections.send(value!, ({ status, body }) => {
        taken += Number(/"taken":(\d+)/.exec(body.toString())?.[1] ?? 0)
        done(status === 200)
      })
      if (!isSent) done(false)
    })
  await load(seconds * WARM_UP)
  await caughtUp(connections)
  taken = 0
  const before = cpuSecondsOf(nodePid)
  const { done, failed, seconds: took } = await load(seconds)
  await caughtUp(connections)
  const nodeCpuSeconds = cpuSecondsOf(nodePid) - before
  if (failed > 0) throw new Error(`live: ${failed} of ${done + failed} batches were not taken`)
  return { events: taken, seconds: took, nodeCpuSeconds }
}

/** Requests with what happens in a world about now, so many seconds long at least; what is no JSON would spoil its batch. */
function* batchesFor(seconds: number): Generator<Buffer, undefined> {
  // A second of ours is a day there. A world of a day and one more has events for all of the load.
  const days = Math.ceil(seconds) + 1
  const events = days * EVENTS_PER_S * 2
  const users = Math.ceil(events / EVENTS_PER_USER)
  let batch: string[] = []
  for (const arrivals of world({ ...WORLD, days, events, users, speed: SPEED_MAX, startMs: Date.now() })) {
    for (const { text } of arrivals) {
      if (!isObject(text)) continue
      batch.push(text)
      if (batch.length < BATCH_EVENTS) continue
      yield requestBytes('/v1/events', `[${batch.join(',')}]`)
      batch = []
    }
  }
  return undefined
}
