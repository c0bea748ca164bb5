// A registry of a namespace: one stream with every activation of one kind, the newest last (protocol.md, section 9).
// AR1: an activation is appended by compare-and-set on the one before it, so of two at once one is refused, and its number
//      is one higher.
// AR2: what is in the registry holds for tasks once it is in their streams, where topology/activation-keeper.ts brings it.
// AR3: who appends announces it, so that a node need not wait for its next look. Nothing depends on that being heard.
// Of what there is a registry: topology/config-registry.ts, topology/model-registry.ts.

import { HoldfastError } from '../log/errors.ts'
import type { Log, LogMessage, StreamSpec } from '../log/log.ts'
import type { ControlRecord } from './commit-record.ts'
import { configHash } from './configuration.ts'

/** Newest activations that stay: to look up the hashes of late; and as many as may wait for their time. */
export const ACTIVATIONS_KEPT = 8
/** Twice what is kept, for those that no task has seen yet. */
const ROOM_ACTIVATIONS = 2 * ACTIVATIONS_KEPT
/** Publishes of unknown outcome in a row after which whoever applies is told to look. */
const TRIES_MAX = 5

/** What decides the stream of a registry. */
export interface RegistryRoom {
  /** Of the namespace's stream and subject. */
  readonly name: string
  /** Bytes of a body as JSON. */
  readonly bodyBytesMax: number
}

/** Of what there is a registry. */
export interface RegistryKind<Body> extends RegistryRoom {
  /** Of the control records. */
  readonly kind: string
  isBody(value: unknown): value is Body
}

/** A body with its number and its time. */
export interface Activation<Body> extends ControlRecord {
  readonly hash: string
  readonly body: Body
  /** Of its message in the registry. */
  readonly seq: number
  /** When it was appended, milliseconds on the broker's clock; null: just now. */
  readonly storedMs: number | null
}

export type AppendOutcome<Body> =
  | { readonly kind: 'stored'; readonly activation: Activation<Body> }
  /** Somebody else was first; `newest` is theirs. */
  | { readonly kind: 'refused'; readonly newest: Activation<Body> | null }
  /** No room: no node takes activations. */
  | { readonly kind: 'full' }
  /** The log did not answer: it may be there. */
  | { readonly kind: 'unknown'; readonly cause: string }

export const registryStream = (namespace: string, { name }: RegistryRoom): string => `${namespace}_${name}`
const registrySubject = (namespace: string, { name }: RegistryRoom): string => `${namespace}.${name}`

/** In no stream. */
const newsSubject = (namespace: string, of: RegistryRoom): string => `${registrySubject(namespace, of)}.news`

/** Bytes that a registry may take. */
export const registryBytes = ({ bodyBytesMax }: RegistryRoom): number => ROOM_ACTIVATIONS * bodyBytesMax

/** The stream of a registry; with its room among the others of a plan in topology/streams.ts. */
export function registrySpec(namespace: string, of: RegistryRoom, replicas: number): StreamSpec {
  const [name, subjects] = [registryStream(namespace, of), [registrySubject(namespace, of)]]
  return { name, subjects, maxBytes: registryBytes(of), replicas, maxAgeMs: 0, atomic: false }
}

/** Questions throw LogUnavailable, as those of the log do, and FOREIGN_WRITE where a stranger wrote. */
export class ActivationRegistry<Body> {
  readonly #log: Log
  readonly #of: RegistryKind<Body>
  readonly #stream: string
  readonly #subject: string
  readonly #news: string

  constructor(log: Log, namespace: string, of: RegistryKind<Body>) {
    this.#log = log
    this.#of = of
    this.#stream = registryStream(namespace, of)
    this.#subject = registrySubject(namespace, of)
    this.#news = newsSubject(namespace, of)
  }

  /** Calls back when somebody has appended (AR3); returns what ends that. */
  onNews(callback: () => void): () => void {
    return this.#log.listen(this.#news, callback)
  }

  /** Whether there is one: a node has run in the namespace. */
  async exists(): Promise<boolean> {
    return (await this.#log.streamState(this.#stream)) !== null
  }

  /** null: there is none yet. */
  async newest(): Promise<Activation<Body> | null> {
    const message = await this.#log.lastOnSubject(this.#stream, this.#subject)
    return message === null ? null : this.#activationIn(message)
  }

  /** Those that are kept, oldest first. */
  async all(): Promise<Activation<Body>[]> {
    const state = await this.#log.streamState(this.#stream)
    const found: Activation<Body>[] = []
    for (let seq = state?.firstSeq ?? 1; seq <= (state?.lastSeq ?? 0); seq++) {
      const message = await this.#log.message(this.#stream, seq)
      if (message !== null) found.push(this.#activationIn(message))
    }
    return found
  }

  /** AR1. `after`: the newest that is known; `from`: order time, milliseconds, 0 for its place in the log. */
  async append(body: Body, from: number, after: Activation<Body> | null): Promise<AppendOutcome<Body>> {
    const { kind } = this.#of
    const hash = configHash(body)
    const activation = (after?.activation ?? 0) + 1
    const payload = Buffer.from(JSON.stringify({ kind, activation, from, hash, body }))
    let cause = ''
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const expect = { lastSubjectSeq: after?.seq ?? 0 }
      const result = await this.#log.publish({ subject: this.#subject, headers: null, payload }, expect)
      if (result.kind === 'stored') {
        const { seq } = result
        this.#log.announce(this.#news, Buffer.alloc(0))
        return { kind: 'stored', activation: { kind, activation, from, hash, body, seq, storedMs: null } }
      }
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
  async forget(all: readonly Activation<Body>[], seen: number): Promise<readonly Activation<Body>[]> {
    const left = all.filter(({ activation }, i) => activation > seen || i >= all.length - ACTIVATIONS_KEPT)
    if (left.length < all.length) await this.#log.trim(this.#stream, left[0]!.seq)
    return left
  }

  #activationIn({ payload, subject, seq, timeMs }: LogMessage): Activation<Body> {
    try {
      const { kind, activation, from, hash, body } = JSON.parse(Buffer.from(payload).toString('utf8'))
      const isWhole = kind === this.#of.kind && Number.isSafeInteger(activation) && Number.isSafeInteger(from)
      if (isWhole && this.#of.isBody(body) && hash === configHash(body))
        return { kind, activation, from, hash, body, seq, storedMs: timeMs }
    } catch {
      // said below
    }
    throw new HoldfastError('FOREIGN_WRITE', 'a message of the registry is no activation', { subject, seq })
  }
}
