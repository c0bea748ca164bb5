// `node test/abuse/main.ts --requests 100000`: abuse at length, beside clients that behave. Three processes, so that what
// those wait for is the server and not the attacker; on a machine with few cores they wait for a core as well, hence the same
// once more beside as many sound requests a second of the same sizes: what abuse costs beyond load is the difference.
// Prints a report as JSON; exit 1 where it is bad.
//   --requests N   how many attacks (default 10,000)      --seed N    which (default 1)
//   --per-second N at most so many a second (default: as fast as they are answered)
//   --url URL      of a running node (default: a server of its own, with tokens, on a nats-server of its own)
//   --token T      a valid token of that node, with the scopes read and write

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { newToken, Tokens } from '../../sinks/http/auth.ts'
import { natsHarness } from '../conformance/nats-harness.ts'
import { abuse } from './abuse.ts'
import { Bystander, type BystanderReport } from './bystander.ts'
import { NAMESPACE, openDoor } from './door.ts'

/** Milliseconds for which the well-behaved clients are measured alone, after as long to warm up. */
const QUIET_MS = 5_000
/** Seconds of sound requests in place of attacks, at most: enough for some thousand requests of those who measure. */
const SOUND_S_MAX = 20
/** Milliseconds between the requests of the client that measures. */
const EVERY_MS = 5
/** Events a second of the client that sends batches: a small part of what a door takes, so that it has no reason to take less. */
const INGEST_PER_SECOND = 2_000
/** No task trims what comes in: room for all of it. */
const LOG_BYTES = 6e9

const text = { type: 'string' } as const
const { values } = parseArgs({
  options: { role: text, requests: text, seed: text, 'per-second': text, url: text, token: text },
})

if (values.role === 'door') await serve()
else if (values.role === 'bystander') await standBy(values.url!, values.token ?? null)
else await main()

async function main(): Promise<void> {
  const door = values.url === undefined ? await child('door', []) : null
  const { url, token, other } = door?.first ?? {
    url: values.url!,
    token: values.token ?? null,
    other: values.token ?? null,
  }
  const bystander = await child('bystander', ['--url', url, ...(other === null ? [] : ['--token', other])])
  const clients = { door: door?.process ?? null, bystander: bystander.process }
  await sleep(QUIET_MS)
  await measured(clients, () => sleep(QUIET_MS))
  const [, alone] = await measured(clients, () => sleep(QUIET_MS))
  const requests = Number(values.requests ?? 10_000)
  const common = { seed: Number(values.seed ?? 1), token }
  const perSecond = values['per-second'] === undefined ? {} : { perSecond: Number(values['per-second']) }
  const [report, besideAbuse] = await measured(clients, () => abuse(url, { requests, ...common, ...perSecond }))
  const attacksPerSecond = requests / besideAbuse.seconds
  const sound = { requests: Math.min(requests, Math.round(attacksPerSecond * SOUND_S_MAX)), isSound: true }
  const pace = { perSecond: attacksPerSecond }
  const [soundReport, besideSound] = await measured(clients, () => abuse(url, { ...common, ...sound, ...pace }))
  bystander.process.disconnect()
  door?.process.disconnect()
  const cost = ({ doorCpuSeconds }: Measured, count: number) =>
    doorCpuSeconds === null ? {} : { doorCpuUs: Math.round((doorCpuSeconds * 1e6) / count) }
  const others = { alone, besideSound, besideAbuse }
  const ratios = {
    soundToAlone: besideSound.p99Ms / alone.p99Ms,
    abuseToAlone: besideAbuse.p99Ms / alone.p99Ms,
    abuseToSound: besideAbuse.p99Ms / besideSound.p99Ms,
  }
  const attacks = { ...report, perSecond: attacksPerSecond, ...cost(besideAbuse, requests) }
  const { bytes, statuses } = soundReport
  const soundOnes = {
    requests: sound.requests,
    bytes,
    statuses,
    perSecond: sound.requests / besideSound.seconds,
    ...cost(besideSound, sound.requests),
  }
  console.log(JSON.stringify({ attacks, sound: soundOnes, others, p99Ratios: ratios }, null, 2))
  const failed = [alone, besideSound, besideAbuse].reduce((total, one) => total + one.failed.length, 0)
  const isSoundTaken = Object.keys(statuses).every((status) => status === '200')
  if (report.failures.length + report.hung.length + failed > 0 || !isSoundTaken) process.exitCode = 1
}

/** What the well-behaved clients saw of a time, and what the door took of a core. */
interface Measured extends Omit<BystanderReport, 'taken'> {
  readonly seconds: number
  /** null: the door is somebody else's. */
  readonly doorCpuSeconds: number | null
}

interface Clients {
  readonly door: ChildProcess | null
  readonly bystander: ChildProcess
}

async function measured<T>({ door, bystander }: Clients, work: () => Promise<T>): Promise<[T, Measured]> {
  await ask(bystander, 'report')
  const cpuBefore = door === null ? 0 : await ask<number>(door, 'cpu')
  const started = performance.now()
  const result = await work()
  const seconds = (performance.now() - started) / 1_000
  const { taken: _, ...seen } = await ask<BystanderReport>(bystander, 'report')
  const doorCpuSeconds = door === null ? null : (await ask<number>(door, 'cpu')) - cpuBefore
  return [result, { ...seen, seconds, doorCpuSeconds }]
}

interface Address {
  readonly url: string
  readonly token: string | null
  readonly other: string | null
}

async function child(role: string, args: readonly string[]): Promise<{ process: ChildProcess; first: Address }> {
  const process = fork(import.meta.filename, ['--role', role, ...args])
  const [first] = (await once(process, 'message')) as [Address]
  return { process, first }
}

async function ask<T>(process: ChildProcess, what: string): Promise<T> {
  process.send(what)
  const [answer] = (await once(process, 'message')) as [T]
  return answer
}

/** A server of its own, until the parent goes. */
async function serve(): Promise<void> {
  const [attacker, other] = [newToken(['read', 'write'], NAMESPACE), newToken(['write'], NAMESPACE)]
  const harness = await natsHarness({ requestTimeoutMs: 5_000 })
  const log = await harness.connect()
  const door = await openDoor({ log, logBytes: LOG_BYTES, tokens: Tokens.parse(`${attacker.line}\n${other.line}`) })
  process.send!({ url: door.url, token: attacker.token, other: other.token } satisfies Address)
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send!((user + system) / 1e6)
  })
  await once(process, 'disconnect')
  await door.close()
  await log.close()
  await harness.close()
}

async function standBy(url: string, token: string | null): Promise<void> {
  const bystander = new Bystander({ url, token, everyMs: EVERY_MS, ingestPerSecond: INGEST_PER_SECOND })
  process.on('message', () => process.send!(bystander.takeReport()))
  process.send!({})
  await once(process, 'disconnect')
  await bystander.stop()
}
