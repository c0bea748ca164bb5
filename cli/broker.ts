// The broker of a command: our own nats-server on loopback, or the one that --nats names.

import type { Log } from '../log/log.ts'
import { connectLog } from '../log/nats-log.ts'
import { type NatsServerHandle, startNatsServer } from '../log/nats-supervisor.ts'

export interface Broker {
  readonly log: Log
  readonly url: string
  /** The server's process, where it is ours. */
  readonly server: NatsServerHandle | null
  close(): Promise<void>
}

export interface BrokerOptions {
  /** undefined: a server of our own in `storeDir`. */
  readonly nats: string | undefined
  readonly storeDir: string
  readonly name: string
  readonly mappings: Readonly<Record<string, string>>
  /** Says what is being done, one line at a time. */
  readonly say: (line: string) => void
}

export async function openBroker({ nats, storeDir, name, mappings, say }: BrokerOptions): Promise<Broker> {
  const server =
    nats === undefined
      ? await startNatsServer({
          storeDir,
          mappings,
          onEvent: (event) => {
            if (event.kind === 'died') say(`nats-server ended unexpectedly and is started again: ${event.lastWords}`)
          },
        })
      : null
  const url = nats ?? server!.url
  try {
    const log = await connectLog({ servers: url, name })
    return {
      log,
      url,
      server,
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
