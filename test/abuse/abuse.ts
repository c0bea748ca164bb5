// Sends attacks, or as many bytes of what is right, to an HTTP server from several connections at once, and says what it answered.
// AB1: the same seed and count send the same attacks; only their interleaving differs.

import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SimRandom } from '../../log/sim.ts'
import { type Attack, attackFrom, type Token, wellFormed } from './attacks.ts'

export interface AbuseOptions {
  readonly requests: number
  readonly seed: number
  /** Valid, carried by half of the attacks; null: none has one. */
  readonly token: Token
  /** Sends in place of each attack a sound request of its size, with the token. */
  readonly isSound?: boolean
  /** At most so many a second; default: as fast as they are answered. */
  readonly perSecond?: number
}

export interface AbuseReport {
  readonly requests: number
  readonly bytes: number
  /** Answers by status; `none` where the connection was closed without one. */
  readonly statuses: Readonly<Record<string, number>>
  /** Attacks that were answered with a 5xx, the first few. */
  readonly failures: readonly string[]
  /** Attacks whose connection the server left open. */
  readonly hung: readonly string[]
  /** By kind. */
  readonly sent: Readonly<Record<string, number>>
}

/** Connections at once: more than a browser has, fewer than one client may have requests under way. */
const LANES = 32
/** Milliseconds after which a connection counts as left open: above the time that the server gives a slow request. */
const HUNG_MS = 40_000
/** Milliseconds between the parts of a slow request. */
const PAUSE_MS = 20
/** Failures whose attack is kept for the report. */
const EXAMPLES_MAX = 10
const EXAMPLE_BYTES = 300

/** Attacks the server at `url` until all requests are answered. */
export async function abuse(url: string, options: AbuseOptions): Promise<AbuseReport> {
  const { requests, seed, token, isSound = false, perSecond = Number.POSITIVE_INFINITY } = options
  const random = new SimRandom(seed)
  const started = performance.now()
  const [statuses, sent]: Record<string, number>[] = [{}, {}]
  const failures: string[] = []
  const hung: string[] = []
  let left = requests
  let bytes = 0
  const lane = async () => {
    while (left-- > 0) {
      const drawn = attackFrom(random, token)
      const attack = isSound ? wellFormed(drawn.bytes.length, token, `sound-${seed}-${left}`) : drawn
      bytes += attack.bytes.length
      count(sent!, attack.name)
      const early = started + ((requests - left) / perSecond) * 1_000 - performance.now()
      if (early > 1) await sleep(early)
      const heard = await exchange(url, attack)
      if (heard === null) keep(hung, attack, 'no end')
      const found = [...(heard ?? '').matchAll(/(?:^|\r\n|\})HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status!)
      for (const status of found.length === 0 ? ['none'] : found) count(statuses!, status)
      for (const status of found) if (status.startsWith('5')) keep(failures, attack, status)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return { requests, bytes, statuses: statuses!, failures, hung, sent: sent! }
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}

function keep(examples: string[], { name, bytes }: Attack, what: string): void {
  if (examples.length < EXAMPLES_MAX)
    examples.push(`${what} to ${name}: ${JSON.stringify(bytes.toString('latin1', 0, EXAMPLE_BYTES))}`)
}

/** What the server said until it closed the connection; null: it did not close it. */
function exchange(url: string, attack: Attack): Promise<string | null> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const heard: Buffer[] = []
    let isHung = false
    // Half open: the answer to a request that was cut short is heard as well.
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: attack.end })
    socket.once('connect', () => void send(socket, attack))
    socket.setTimeout(HUNG_MS, () => {
      isHung = true
      socket.destroy()
    })
    socket.on('data', (data) => heard.push(data))
    socket.on('end', () => socket.end())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Reset and broken pipe: it closed before it had read everything. Anything else: nobody was there.
      if (error.syscall === 'connect') reject(new Error(`the server cannot be reached: ${error.code}`))
    })
    socket.on('close', () => resolve(isHung ? null : Buffer.concat(heard).toString('latin1')))
  })
}

async function send(socket: Socket, { bytes, end, parts }: Attack): Promise<void> {
  const size = Math.ceil(bytes.length / parts)
  for (let part = 0; part < parts && socket.writable; part++) {
    if (part > 0) await sleep(PAUSE_MS)
    socket.write(bytes.subarray(part * size, (part + 1) * size))
  }
  if (end) socket.end()
}
