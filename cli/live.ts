// `npm run live`: a node on this machine with its front door and its page, and generated traffic that comes in through that
// door, until Ctrl-C. It is `holdfast node` and `holdfast generate --world --url`, one process each.
// LV1: it begins with nothing: what the last one left stays until then, so that it can be looked at afterwards.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { realRuntime } from '../log/runtime.ts'
import { buildWeb } from '../scripts/build-web.ts'
import { runNode } from './node-command.ts'
import { CONFIG_DEFAULT, HTTP_CONFIG_DEFAULT, LOG_BYTES_DEFAULT, THREADS_DEFAULT, wholeNumber } from './settings.ts'

const HTTP_PORT_DEFAULT = 8080
/** Seconds of the generated world in one of ours: its four weeks last an hour and a bit. */
const SPEED = 600
/** Events a second: enough that counts are seen to rise, little for any laptop. */
const RATE = 300
/** What the page shows at first: the most viewed pages of the generated world. */
const WATCHED = ['page_views_1h/page//products/0', 'page_views_1h/page//products/1']

const directory = join(import.meta.dirname, '..', '.holdfast', 'live')
const say = (line: string): void => console.log(line)

async function main(): Promise<void> {
  const httpPort = wholeNumber('HTTP_PORT', 0, 65_535)(process.env.HTTP_PORT ?? String(HTTP_PORT_DEFAULT))
  await rm(directory, { recursive: true, force: true })
  await buildWeb({ say })
  let traffic: ChildProcess | null = null
  try {
    await runNode(
      {
        ...{ dataDir: directory, namespace: 'holdfast', partitions: 2, config: CONFIG_DEFAULT, replicas: 1 },
        ...{ nats: undefined, port: undefined, logBytes: LOG_BYTES_DEFAULT.run, threads: THREADS_DEFAULT },
        http: { host: '127.0.0.1', port: httpPort, tokenFile: undefined, config: HTTP_CONFIG_DEFAULT },
        onOpen: (url) => {
          traffic = sendTraffic(url)
          say(`look at it: ${url}/?watch=${WATCHED.join(',')}`)
          say('Ctrl-C ends it')
        },
      },
      realRuntime,
      say,
    )
  } finally {
    await ended(traffic)
  }
  const data = relative(process.cwd(), directory)
  say(`everything is in ${data}; does it add up? npx holdfast audit --data-dir ${data}`)
}

function sendTraffic(url: string): ChildProcess {
  const command = ['generate', '--world', '--url', url, '--speed', String(SPEED), '--rate', String(RATE)]
  return spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...command], { stdio: 'inherit' })
}

/** By its pid; it may have had the same Ctrl-C. */
async function ended(traffic: ChildProcess | null): Promise<void> {
  if (traffic === null || traffic.exitCode !== null || traffic.signalCode !== null) return
  const exit = once(traffic, 'exit')
  traffic.kill('SIGTERM')
  await exit
}

await main().catch((error: Error) => {
  console.error(`holdfast: ${error.message}`)
  process.exit(1)
})
