// `npm start`: the main job on this machine, from nothing: generated shop traffic through our own nats-server and RocksDB,
// with progress, then what a newcomer wants to see first. It is `holdfast run` on a generated file.

import { createReadStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { realRuntime } from '../log/runtime.ts'
import { Interrupted } from './early-end.ts'
import { TRAFFIC_DEFAULTS, traffic } from './generate/traffic.ts'
import { writeFile } from './generate/write-file.ts'
import { isAccountedFor, run } from './run-command.ts'
import { CONFIG_DEFAULT, LOG_BYTES_DEFAULT, THREADS_DEFAULT } from './settings.ts'

/** Enough for half a minute of work to look at, small enough for any laptop. */
const EVENTS = 500_000
const TOP_PAGES = 5

const directory = join(import.meta.dirname, '..', '.holdfast', 'start')
const input = join(directory, `traffic-${EVENTS}.ndjson.gz`)
const out = join(directory, 'out')

async function main(): Promise<void> {
  await mkdir(directory, { recursive: true })
  console.log(`generating ${EVENTS.toLocaleString('en-US')} events of one shop's ten days`)
  await writeFile(input, traffic({ ...TRAFFIC_DEFAULTS, events: EVENTS }))
  console.log('processing them: nats-server (the log) -> 2 stages x 2 partitions -> RocksDB (the state)')
  const summary = await run(
    {
      input,
      out,
      partitions: 2,
      config: CONFIG_DEFAULT,
      nats: undefined,
      dataDir: undefined,
      namespace: 'start',
      isFreshNamespace: false,
      threads: THREADS_DEFAULT,
      sliceRecords: 128,
      commitRecords: 20_000,
      logBytes: LOG_BYTES_DEFAULT.run,
      quiet: false,
    },
    realRuntime,
  )
  const n = (value: number) => value.toLocaleString('en-US')
  console.log(
    `read ${n(summary.read)} = accepted ${n(summary.accepted)} + duplicates ${n(summary.duplicates)} + dead letters ${n(summary.dead_letters)}, in ${summary.wall_seconds} s`,
  )
  console.log(`most viewed pages of the last hour before ${new Date(summary.as_of!).toISOString()}:`)
  for (const { key, value } of await topPages()) console.log(`  ${String(value).padStart(5)}  ${key}`)
  console.log(`all results: ${out}`)
  if (!isAccountedFor(summary)) process.exitCode = 1
}

async function topPages(): Promise<{ key: string; value: number }[]> {
  const pages: { key: string; value: number }[] = []
  for await (const line of createInterface({ input: createReadStream(join(out, 'features.ndjson')) })) {
    const { entity, key, value } = JSON.parse(line)
    if (entity === 'page') pages.push({ key, value })
  }
  return pages.sort((a, b) => b.value - a.value).slice(0, TOP_PAGES)
}

await main().catch((error: Error) => {
  console.error(`holdfast: ${error.message}`)
  process.exit(error instanceof Interrupted ? 130 : 1)
})
