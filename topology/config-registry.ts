// The registry of a namespace: one stream with every activation of a configuration, the newest last (protocol.md, section 9).
// CR1: an activation is appended by compare-and-set on the one before it, so of two at once one is refused, and its number
//      is one higher. Number 1 is what the namespace began with.
// CR2: what is in the registry holds for tasks once it is in their streams, where topology/config-keeper.ts brings it.
// Here stand whole documents, of which tasks get what changes results (topology/configuration.ts).

import { HoldfastError } from '../log/errors.ts'
import type { Log, LogMessage, StreamSpec } from '../log/log.ts'
import type { ControlRecord } from './commit-record.ts'
import { type ConfigDocument, configHash, configurationOf, isConfiguration } from './configuration.ts'
import { CONFIGURATION } from './control.ts'

/** Bytes of a document: some ten thousand networks, and far below what a message may hold. */
export const CONFIG_BYTES_MAX = 256 * 1024
/** Newest activations that stay: to look up the hashes of late; and as many as may wait for their time. */
export const ACTIVATIONS_KEPT = 8
/** Bytes: twice what is kept, for those that no task has seen yet. */
export const REGISTRY_BYTES = 2 * ACTIVATIONS_KEPT * CONFIG_BYTES_MAX
/** Publishes of unknown outcome in a row after which whoever applies is told to look. */
const TRIES_MAX = 5

/** A configuration with its number and its time. */
export interface Activation extends ControlRecord {
  readonly hash: string
  readonly body: ConfigDocument
  /** Of its message in the registry. */
  readonly seq: number
}

export type AppendOutcome =
  | { readonly kind: 'stored'; readonly activation: Activation }
  /** Somebody else was first; `newest` is theirs. */
  | { readonly kind: 'refused'; readonly newest: Activation | null }
  /** No room: no node takes activations. */
  | { readonly kind: 'full' }
  /** The log did not answer: it may be there. */
  | { readonly kind: 'unknown'; readonly cause: string }

export const registryStream = (namespace: string): string => `${namespace}_config`
const registrySubject = (namespace: string): string => `${namespace}.config`

/** The stream of the registry; with its room among the others of a plan in topology/streams.ts. */
export function registrySpec(namespace: string, replicas: number): StreamSpec {
  const [name, subjects] = [registryStream(namespace), [registrySubject(namespace)]]
  return { name, subjects, maxBytes: REGISTRY_BYTES, replicas, maxAgeMs: 0, atomic: false }
}

/** Questions throw LogUnavailable, as those of the log do, and FOREIGN_WRITE where a stranger wrote. */
export class ConfigRegistry {
  readonly #log: Log
  readonly #stream: string
  readonly #subject: string

  constructor(log: Log, namespace: string) {
    this.#log = log
    this.#stream = registryStream(namespace)
    this.#subject = registrySubject(namespace)
  }

  /** Whether there is one: a node has run in the namespace. */
  async exists(): Promise<boolean> {
    return (await this.#log.streamState(this.#stream)) !== null
  }

  /** null: there is none yet. */
  async newest(): Promise<Activation | null> {
    const message = await this.#log.lastOnSubject(this.#stream, this.#subject)
    return message === null ? null : activationIn(message)
  }

  /** Those that are kept, oldest first. */
  async all(): Promise<Activation[]> {
    const state = await this.#log.streamState(this.#stream)
    const found: Activation[] = []
    for (let seq = state?.firstSeq ?? 1; seq <= (state?.lastSeq ?? 0); seq++) {
      const message = await this.#log.message(this.#stream, seq)
      if (message !== null) found.push(activationIn(message))
    }
    return found
  }

  /** CR1. `after`: the newest that is known; `from`: order time, milliseconds, 0 for its place in the log. */
  async append(body: ConfigDocument, from: number, after: Activation | null): Promise<AppendOutcome> {
    const hash = configHash(body)
    const activation = (after?.activation ?? 0) + 1
    const payload = Buffer.from(JSON.stringify({ kind: CONFIGURATION, activation, from, hash, body }))
    let cause = ''
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const expect = { lastSubjectSeq: after?.seq ?? 0 }
      const result = await this.#log.publish({ subject: this.#subject, headers: null, payload }, expect)
      if (result.kind === 'stored')
        return { kind: 'stored', activation: { kind: CONFIGURATION, activation, from, hash, body, seq: result.seq } }
      if (result.kind === 'full') return { kind: 'full' }
      // Refused may also mean that a try before, whose outcome was unknown, is there.
      cause = result.cause
      const newest = await this.newest()
      if (newest?.activation === activation && newest.hash === hash && newest.from === from)
        return { kind: 'stored', activation: newest }
      if (result.kind === 'refused') return { kind: 'refused', newest }
    }
    return { kind: 'unknown', cause }
  }

  /** Forgets what all tasks have read, up to activation `seen`, but for the newest ACTIVATIONS_KEPT. Returns what is left. */
  async forget(all: readonly Activation[], seen: number): Promise<readonly Activation[]> {
    const left = all.filter(({ activation }, i) => activation > seen || i >= all.length - ACTIVATIONS_KEPT)
    if (left.length < all.length) await this.#log.trim(this.#stream, left[0]!.seq)
    return left
  }
}

function activationIn({ payload, subject, seq }: LogMessage): Activation {
  try {
    const { kind, activation, from, hash, body } = JSON.parse(Buffer.from(payload).toString('utf8'))
    const isWhole = kind === CONFIGURATION && Number.isSafeInteger(activation) && Number.isSafeInteger(from)
    if (isWhole && hash === configHash(body) && isConfiguration(configurationOf(body)))
      return { kind, activation, from, hash, body, seq }
  } catch {
    // said below
  }
  throw new HoldfastError('FOREIGN_WRITE', 'a message of the registry is no activation', { subject, seq })
}
