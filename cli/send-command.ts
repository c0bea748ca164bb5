// `holdfast send --bulk FILE`: a file of events to a running node as uploads, POST /v1/bulk, until the log has all of it.
// SC1: an upload that was taken in part is sent on from where it ended; one without an answer is sent again, which is safe.
// SC2: waits as long as 429 and 503 ask it to, and gives up when nothing was taken for PATIENCE_MS.
// SC3: stopped or given up, it says how many lines the log has for sure; the same command begins at the first again, which is safe.

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGunzip } from 'node:zlib'
import type { Command } from 'commander'
import { ApiError, NoAnswer } from '../client/transport.ts'
import { HoldfastError } from '../log/errors.ts'
import { linesOf } from '../sinks/lines.ts'
import { EarlyEnd } from './early-end.ts'
import { retryAfterMs } from './generate/send.ts'
import { addressOf, commandError, type NodeChoice, nodeOptions } from './node-client.ts'

/** Bytes of one upload: some ten thousand events, a second or two; little to send again. */
const UPLOAD_BYTES = 4 * 1024 * 1024
/** A node restarts within this, and a full stream has room again; later somebody should look. */
const PATIENCE_MS = 60_000
/** Longer than the 30 s that the node gives a request. */
const REQUEST_TIMEOUT_MS = 40_000
/** Without an answer, and without Retry-After. */
const RETRY_MS = 500
const SAY_EVERY_MS = 5_000

interface SendOptions extends NodeChoice {
  readonly bulk: string
}

type Address = ReturnType<typeof addressOf>

interface Answer {
  readonly taken: number
  readonly refused: number
  readonly refusals: readonly { readonly index: number; readonly error: { readonly code: string } }[]
}

/** What of a file is done. */
interface Sent {
  sent: number
  taken: number
  refused: number
  /** Of the first line that was refused. */
  firstRefusal: string | null
}

/** Adds the command. */
export function sendCommand(program: Command): void {
  nodeOptions(
    program
      .command('send')
      .description(
        'Send a file of events to a running node, as uploads: stored apart, processed as live events leave room.',
      )
      .requiredOption('--bulk <file>', 'NDJSON, an event a line; .gz is unpacked'),
  ).action(async (options: SendOptions) => {
    await sendFile(options, (line) => process.stderr.write(`${line}\n`)).catch((error: unknown) => {
      throw commandError(error)
    })
  })
}

async function sendFile({ bulk, ...choice }: SendOptions, say: (line: string) => void): Promise<void> {
  const address = addressOf(choice, process.env)
  const { size } = await stat(bulk).catch((error: Error) => {
    throw new HoldfastError('USAGE', `cannot read ${bulk}: ${error.message}`)
  })
  const done: Sent = { sent: 0, taken: 0, refused: 0, firstRefusal: null }
  const end = new EarlyEnd('stopped: the node did not answer in time')
  const stop = new AbortController()
  end.whenRequested(() => stop.abort())
  try {
    await Promise.race([sendAll(bulk, new Uploader(address, done, stop.signal), say), end.abandoned])
    say(size === 0 ? 'an empty file: nothing to send' : textOf(done))
  } catch (error) {
    if (done.sent > 0) say(textOf(done))
    throw error
  } finally {
    end.close()
  }
  if (stop.signal.aborted) throw end.interrupted()
}

function textOf({ sent, taken, refused, firstRefusal }: Sent): string {
  const n = (value: number) => value.toLocaleString('en-US')
  return `sent ${n(sent)} · taken ${n(taken)} · refused ${n(refused)}${firstRefusal === null ? '' : ` (the first: ${firstRefusal})`}`
}

async function sendAll(path: string, uploader: Uploader, say: (line: string) => void): Promise<void> {
  let lines: Uint8Array[] = []
  let bytes = 0
  let saidAt = performance.now()
  for await (const batch of linesOf(chunksOf(path), 0)) {
    for (const line of batch) {
      if (line.blank) continue
      lines.push(line.bytes)
      bytes += line.bytes.length
      if (bytes < UPLOAD_BYTES) continue
      await uploader.send(lines)
      if (uploader.isStopped) return
      ;[lines, bytes] = [[], 0]
      if (performance.now() - saidAt < SAY_EVERY_MS) continue
      saidAt = performance.now()
      say(textOf(uploader.done))
    }
  }
  await uploader.send(lines)
}

async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path)
  if (!path.endsWith('.gz')) return yield* file
  const unpacked = createGunzip()
  const piped = pipeline(file, unpacked).catch(() => {})
  try {
    yield* unpacked
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot unpack ${path}: ${(error as Error).message}`)
  }
  await piped
}

class Uploader {
  readonly done: Sent
  readonly #address: Address
  readonly #stop: AbortSignal

  constructor(address: Address, done: Sent, stop: AbortSignal) {
    this.#address = address
    this.done = done
    this.#stop = stop
  }

  get isStopped(): boolean {
    return this.#stop.aborted
  }

  /** Sends lines until each has been answered for sure (SC1), or until it is stopped. */
  async send(lines: readonly Uint8Array[]): Promise<void> {
    let from = 0
    let movedAt = performance.now()
    while (from < lines.length && !this.isStopped) {
      const { answer, againInMs, error } = await this.#upload(lines.slice(from))
      if (this.isStopped && answer === null) return
      if (answer !== null && answer.taken + answer.refused > 0) {
        this.#count(answer)
        from += answer.taken + answer.refused
        movedAt = performance.now()
      }
      if (error === null) continue
      if (performance.now() - movedAt + againInMs > PATIENCE_MS) throw error
      await sleep(againInMs, undefined, { signal: this.#stop }).catch(() => {})
    }
  }

  #count({ taken, refused, refusals: [first] }: Answer): void {
    if (first !== undefined) this.done.firstRefusal ??= `event ${this.done.sent + first.index + 1}, ${first.error.code}`
    this.done.sent += taken + refused
    this.done.taken += taken
    this.done.refused += refused
  }

  /** One request. `error`: why not all of it was taken, where that may change; what cannot change is thrown. */
  async #upload(
    lines: readonly Uint8Array[],
  ): Promise<{ answer: Answer | null; againInMs: number; error: Error | null }> {
    const { url, token } = this.#address
    let response: Response
    let body: unknown
    try {
      response = await fetch(new URL('/v1/bulk', url), {
        method: 'POST',
        body: Buffer.concat(lines.flatMap((line) => [line, LINE_END])),
        headers: {
          'content-type': 'application/x-ndjson',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        redirect: 'error',
        signal: AbortSignal.any([this.#stop, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      })
      body = await response.json()
    } catch (cause) {
      return { answer: null, againInMs: RETRY_MS, error: new NoAnswer(url, cause) }
    }
    const { status, headers } = response
    const retryAfter = headers.get('retry-after')
    const error = status === 200 ? null : new ApiError(status, body, retryAfter)
    if (error !== null && status !== 429 && status < 500) throw error
    const answer = Array.isArray((body as Partial<Answer>).refusals) ? (body as Answer) : null
    if (error === null && answer === null)
      throw new HoldfastError('USAGE', `${url} is no node of Holdfast that takes uploads`)
    return { answer, againInMs: error === null ? 0 : retryAfterMs(retryAfter), error }
  }
}

const LINE_END = Buffer.from('\n')
