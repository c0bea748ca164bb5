// `node test/abuse/main.ts --requests 100000`: abuse at length, with a client beside it that behaves. Three processes, so that
// what the well-behaved one waits for is the server and not the attacker. Prints a report as JSON; exit 1 where it is bad.
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

/** Milliseconds for which the well-behaved client is measured alone, after as long to warm up. */
const QUIET_MS = 3_000
/** Milliseconds between its requests. */
const EVERY_MS = 5

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
  await sleep(QUIET_MS)
  await ask(bystander.process, 'report')
  await sleep(QUIET_MS)
  const quiet = await ask(bystander.process, 'report')
  const started = performance.now()
  const perSecond = values['per-second'] === undefined ? {} : { perSecond: Number(values['per-second']) }
  const requests = Number(values.requests ?? 10_000)
  const report = await abuse(url, { requests, seed: Number(values.seed ?? 1), token, ...perSecond })
  const seconds = (performance.now() - started) / 1_000
  const during = await ask(bystander.process, 'report')
  bystander.process.disconnect()
  door?.process.disconnect()
  const { taken: _, ...others } = during
  console.log(
    JSON.stringify(
      { seconds, ...report, quietP99Ms: quiet.p99Ms, others, p99Ratio: during.p99Ms / quiet.p99Ms },
      null,
      2,
    ),
  )
  if (report.failures.length + report.hung.length + during.failed.length > 0) process.exitCode = 1
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

async function ask(process: ChildProcess, what: string): Promise<BystanderReport> {
  process.send(what)
  const [answer] = (await once(process, 'message')) as [BystanderReport]
  return answer
}

/** A server of its own, until the parent goes. */
async function serve(): Promise<void> {
  const [attacker, other] = [newToken(['read', 'write'], NAMESPACE), newToken(['write'], NAMESPACE)]
  const harness = await natsHarness({ requestTimeoutMs: 5_000 })
  const log = await harness.connect()
  const door = await openDoor({ log, tokens: Tokens.parse(`${attacker.line}\n${other.line}`) })
  process.send!({ url: door.url, token: attacker.token, other: other.token } satisfies Address)
  await once(process, 'disconnect')
  await door.close()
  await log.close()
  await harness.close()
}

async function standBy(url: string, token: string | null): Promise<void> {
  const bystander = new Bystander({ url, token, everyMs: EVERY_MS })
  process.on('message', () => process.send!(bystander.takeReport()))
  process.send!({})
  await once(process, 'disconnect')
  await bystander.stop()
}
