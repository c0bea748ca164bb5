// One simulated stream: what is stored, compare-and-set, atomic batches, room, retention, and the damage a test can do.
// FS1: sequences in a stream are contiguous from firstSeq to lastSeq.
// FS2: a refused or full append changes nothing.
// Who is connected, and what gets lost on the way, is in log/fake-log.ts.

import { assert } from './errors.ts'
import type { Expect, Headers, LogMessage, Outgoing, PublishResult, StreamSpec, StreamState } from './log.ts'

export const BATCH_MESSAGES_MAX = 1000
/** Bytes the file store of nats-server adds to each message, without and with headers. */
const MESSAGE_OVERHEAD_BYTES = 30
const HEADER_OVERHEAD_BYTES = 4 + 12

export class FakeStream {
  readonly spec: StreamSpec
  readonly created: string
  #firstSeq = 1
  #bytes = 0
  #messages: LogMessage[] = []
  #lastBySubject = new Map<string, number>()

  constructor(spec: StreamSpec, created: string) {
    this.spec = spec
    this.created = created
  }

  get state(): StreamState {
    return { created: this.created, firstSeq: this.#firstSeq, lastSeq: this.lastSeq, bytes: this.#bytes }
  }

  get lastSeq(): number {
    return this.#firstSeq + this.#messages.length - 1
  }

  covers(subject: string): boolean {
    return this.spec.subjects.some((pattern) => subjectMatches(pattern, subject))
  }

  at(seq: number): LogMessage | null {
    return this.#messages[seq - this.#firstSeq] ?? null
  }

  lastOn(subject: string): LogMessage | null {
    return this.at(this.#lastBySubject.get(subject) ?? 0)
  }

  subjects(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const m of this.#messages) counts.set(m.subject, (counts.get(m.subject) ?? 0) + 1)
    return counts
  }

  /** All of them or none; `expect` holds for the first. */
  append(outgoing: readonly Outgoing[], expect: Expect, nowNs: bigint): PublishResult {
    const refusal = this.#refusal(outgoing[0]!.subject, expect)
    if (refusal !== null) return { kind: 'refused', cause: refusal }
    const stored = outgoing.map((m, i) => withSystemHeaders(m, outgoing.length, i, expect))
    const bytes = stored.reduce((sum, m) => sum + storedBytes(m), 0)
    if (this.#bytes + bytes > this.spec.maxBytes) return { kind: 'full', cause: 'maximum bytes exceeded (10077)' }
    for (const m of stored) this.#push(m, nowNs)
    return { kind: 'stored', seq: this.lastSeq }
  }

  trim(belowSeq: number): void {
    const count = Math.min(Math.max(belowSeq - this.#firstSeq, 0), this.#messages.length)
    for (const m of this.#messages.splice(0, count)) this.#bytes -= storedBytes(m)
    this.#firstSeq += count
  }

  /** Retention by age. */
  expire(nowNs: bigint): void {
    if (this.spec.maxAgeMs === 0) return
    const oldest = nowNs - BigInt(this.spec.maxAgeMs) * 1_000_000n
    let keep = this.#firstSeq
    while (keep <= this.lastSeq && this.at(keep)!.timeNs < oldest) keep++
    this.trim(keep)
  }

  /** Damage: the last `count` messages are gone and their sequences will be given out again. */
  loseTail(count: number): void {
    for (const m of this.#messages.splice(Math.max(this.#messages.length - count, 0))) this.#bytes -= storedBytes(m)
    this.#lastBySubject = new Map(this.#messages.map((m) => [m.subject, m.seq]))
  }

  /** Damage: what is stored at `seq` is changed without a trace. */
  overwrite(seq: number, payload: Uint8Array): void {
    const m = this.at(seq)
    assert(m !== null, 'overwrite what is there')
    this.#messages[seq - this.#firstSeq] = { ...m, payload }
  }

  /** An independent copy, as a backup of the store would be. */
  copy(): FakeStream {
    const copy = new FakeStream(this.spec, this.created)
    copy.#firstSeq = this.#firstSeq
    copy.#bytes = this.#bytes
    copy.#messages = this.#messages.slice()
    copy.#lastBySubject = new Map(this.#lastBySubject)
    return copy
  }

  #refusal(subject: string, expect: Expect): string | null {
    if (expect === null) return null
    const [expected, actual] =
      'lastSeq' in expect ? [expect.lastSeq, this.lastSeq] : [expect.lastSubjectSeq, this.lastOn(subject)?.seq ?? 0]
    return expected === actual ? null : `wrong last sequence: ${actual} (10071)`
  }

  #push(m: Outgoing, nowNs: bigint): void {
    const before = this.#messages.at(-1)?.timeNs ?? 0n
    const timeNs = nowNs > before ? nowNs : before + 1n
    const message: LogMessage = {
      seq: this.lastSeq + 1,
      subject: m.subject,
      headers: m.headers,
      payload: m.payload.slice(),
      timeNs,
      timeMs: Number(timeNs / 1_000_000n),
    }
    this.#messages.push(message)
    this.#bytes += storedBytes(message)
    this.#lastBySubject.set(message.subject, message.seq)
  }
}

/** The headers as nats-server stores them: ours and those that asked for compare-and-set and for the batch. */
function withSystemHeaders(m: Outgoing, count: number, index: number, expect: Expect): Outgoing {
  const system: Record<string, string> = {}
  if (expect !== null && index === 0) {
    if ('lastSeq' in expect) system['Nats-Expected-Last-Sequence'] = String(expect.lastSeq)
    else system['Nats-Expected-Last-Subject-Sequence'] = String(expect.lastSubjectSeq)
  }
  if (count > 1) system['Nats-Batch-Sequence'] = String(index + 1)
  const headers: Headers = { ...system, ...m.headers }
  return Object.keys(headers).length === 0 ? { ...m, headers: null } : { ...m, headers }
}

function storedBytes(m: { subject: string; headers: Headers | null; payload: Uint8Array }): number {
  let bytes = MESSAGE_OVERHEAD_BYTES + m.subject.length + m.payload.length
  if (m.headers !== null) {
    bytes += HEADER_OVERHEAD_BYTES
    for (const [name, value] of Object.entries(m.headers)) bytes += name.length + value.length + 4
  }
  return bytes
}

/** Whether a subject matches a pattern with the wildcards `*` (one token) and `>` (the rest). */
export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.')
  const tokens = subject.split('.')
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '>') return tokens.length > i
    if (i >= tokens.length || (wanted[i] !== '*' && wanted[i] !== tokens[i])) return false
  }
  return wanted.length === tokens.length
}
