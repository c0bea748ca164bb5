// The broker of a command: our own nats-server on loopback, or the one that --nats names.

import { HoldfastError } from '../log/errors.ts'
import { LogUnavailable } from '../log/log.ts'
import { connectLog, type NatsLog } from '../log/nats-log.ts'
import { type NatsServerHandle, startNatsServer } from '../log/nats-supervisor.ts'
import { askPatiently, type OnWait } from '../log/patience.ts'
import type { Runtime } from '../log/runtime.ts'
import type { ThreadConnection } from '../topology/host-messages.ts'
import type { EarlyEnd } from './early-end.ts'

/**
 * Milliseconds that a command which has reached its broker waits for it at the start. Our own server is back within one or
 * two when something kills it; of another one that stays away a person wants to know.
 */
export const START_PATIENCE_MS = 30_000

export interface Broker {
  readonly log: NatsLog
  readonly url: string
  /** How other threads get a log like this one. */
  readonly connection: ThreadConnection
  /** The server's process, where it is ours. */
  readonly server: NatsServerHandle | null
  /** Removes streams that nobody will ask for again. */
  deleteStreams(names: readonly string[]): Promise<void>
  close(): Promise<void>
}

export interface BrokerOptions {
  /** undefined: a server of our own in `storeDir`. */
  readonly nats: string | undefined
  /** Of a server of our own; undefined: a free one. */
  readonly port?: number | undefined
  readonly storeDir: string
  readonly name: string
  readonly mappings: Readonly<Record<string, string>>
  /** Says what is being done, one line at a time. */
  readonly say: (line: string) => void
}

export async function openBroker({ nats, port, storeDir, name, mappings, say }: BrokerOptions): Promise<Broker> {
  const server =
    nats === undefined
      ? await startNatsServer({
          storeDir,
          mappings,
          ...(port === undefined ? {} : { port }),
          onEvent: (event) => {
            if (event.kind === 'died') say(`nats-server ended unexpectedly and is started again: ${event.lastWords}`)
          },
        })
      : null
  const url = nats ?? server!.url
  const connection = { servers: url, name }
  try {
    const log = await reach(connection)
    return {
      log,
      url,
      connection,
      server,
      deleteStreams: async (names) => {
        for (const stream of names) await log.jsm.streams.delete(stream).catch(() => {})
      },
      close: async () => {
        await log.close()
        await server?.stop()
      },
    }
  } catch (error) {
    await server?.stop()
    throw error
  }
}

/** Asks what a command must know before its tasks start, also where the broker goes away in that moment. */
export async function askAtStart<T>(
  { runtime, say, end }: AskAtStart,
  ask: () => Promise<T>,
  patienceMs = START_PATIENCE_MS,
): Promise<T> {
  const until = runtime.now() + patienceMs
  let isSaid = false
  const onWait: OnWait = (_, __, detail) => {
    if (!isSaid) say(`waiting for the broker: ${detail}`)
    isSaid = true
  }
  try {
    return await askPatiently({ runtime, onWait }, 'the streams', ask, () => end.requested || runtime.now() >= until)
  } catch (error) {
    end.throwIfRequested()
    throw error
  }
}

export interface AskAtStart {
  readonly runtime: Runtime
  readonly say: (line: string) => void
  /** Whether somebody wants the command to end; what it throws then. */
  readonly end: Pick<EarlyEnd, 'requested' | 'throwIfRequested'>
}

/** A command says at once that nobody answers; what it is in the middle of waits for ever (log/patience.ts). */
async function reach(connection: ThreadConnection): Promise<NatsLog> {
  try {
    return await connectLog(connection)
  } catch (error) {
    if (!(error instanceof LogUnavailable)) throw error
    throw new HoldfastError('USAGE', `cannot use ${connection.servers}: ${error.message}`)
  }
}
