// The oracles of reliability.md, section 2, on what one task left in the simulated log and on its disk.
// Each finding names its oracle; a run without findings is what a fault-free run would have been.

import { Chain, eachRecord, FRAME_HEADER, type FrameHeader, NO_WATERMARK, parseFrameHeader } from '../../log/frame.ts'
import type { LogMessage } from '../../log/log.ts'
import { startOf } from '../../log/numbering.ts'
import type { Destination } from '../../log/recovery.ts'
import type { TallyJson } from '../../topology/tally.ts'

/** What a reader of an output stream goes by (protocol.md, section 2). */
const RECORD_HEADER = 'Hf-Record'

export type OracleName = 'O1 twin' | 'O2 ids' | 'O3 chain' | 'O4 conservation' | 'O5 liveness' | 'halts'

export interface Finding {
  readonly oracle: OracleName
  readonly what: string
}

/** What a task's run comes to: the published records by subject, and the state. */
export interface Outcome {
  readonly outputs: ReadonlyMap<string, readonly string[]>
  readonly dump: readonly string[]
  readonly tally: TallyJson
}

/**
 * Walks what a writer published, in order, and returns its records; `found` hears of every broken number or chain.
 * `forgetful`: retention took the writer's last message at some time, so that what it said of watermark, position and
 * generation may have been unknown to whoever went on; numbers and chains may not suffer from it.
 */
export function walk(
  writer: string,
  { subject, mode }: Destination,
  messages: readonly LogMessage[],
  found: (finding: Finding) => void,
  forgetful = false,
): string[] {
  const walker = new Walker({ writer, subject, forgetful, found })
  for (const message of messages) {
    if (message.subject !== subject) continue
    if (mode === 'frames') walker.frame(message)
    else walker.single(message)
  }
  return walker.records
}

interface WalkerOptions {
  readonly writer: string
  readonly subject: string
  readonly forgetful: boolean
  readonly found: (finding: Finding) => void
}

class Walker {
  readonly records: string[] = []
  readonly #o: WalkerOptions
  readonly #chain: Chain
  #before: FrameHeader | null = null
  /** The highest watermark promised so far. */
  #promised = NO_WATERMARK

  constructor(options: WalkerOptions) {
    this.#o = options
    this.#chain = Chain.fromHex(startOf(options.writer, options.subject).chain)
  }

  frame(message: LogMessage): void {
    const header = this.#header(message)
    if (header === null) return
    this.#expect(header.first === this.records.length + 1, message, `first is ${header.first}`)
    this.#expect(header.chainBefore === this.#chain.hex, message, 'the chain before is another one')
    eachRecord(message.payload, (from, to) => this.#take(message.payload, from, to))
    for (const record of this.records.slice(header.first - 1)) {
      this.#expect(
        orderTimeOf(record) > this.#promised,
        message,
        `a record after watermark ${this.#promised}: ${record}`,
      )
    }
    this.#close(header, message)
  }

  /** One message per record; the last one of a batch has the header of the whole batch. */
  single(message: LogMessage): void {
    const identity = `${this.#o.writer}.${this.records.length + 1}`
    const says = message.headers?.[RECORD_HEADER]
    this.#expect(says === identity, message, `it says ${says} and stands where ${identity} should`)
    this.#take(message.payload, 0, message.payload.length)
    if (message.headers?.[FRAME_HEADER] === undefined) return
    const header = this.#header(message)
    if (header !== null) this.#close(header, message)
  }

  #take(payload: Uint8Array, from: number, to: number): void {
    this.#chain.add(payload, from, to)
    this.records.push(Buffer.from(payload.subarray(from, to)).toString())
  }

  #header(message: LogMessage): FrameHeader | null {
    const header = parseFrameHeader(message.headers?.[FRAME_HEADER])
    this.#expect(header !== null, message, 'it has no valid header')
    return header
  }

  #close(header: FrameHeader, message: LogMessage): void {
    const number = header.first + header.count - 1
    this.#expect(number === this.records.length, message, `it ends at ${number}, not at ${this.records.length}`)
    this.#expect(header.chainAfter === this.#chain.hex, message, 'the chain after is another one')
    const { forgetful } = this.#o
    this.#expect(forgetful || header.watermark >= this.#promised, message, 'the watermark goes back')
    this.#promised = Math.max(this.#promised, header.watermark)
    const before = this.#before
    this.#before = header
    if (before === null) return
    const sameOrder = header.coveredSeq > before.coveredSeq || header.coveredIndex >= before.coveredIndex
    const forward = header.coveredSeq >= before.coveredSeq && sameOrder
    this.#expect(forgetful || forward, message, 'the covered position goes back')
    const younger = header.generation >= before.generation
    this.#expect(forgetful || younger, message, 'an older generation wrote behind a newer one')
  }

  #expect(holds: boolean, { seq }: LogMessage, what: string): void {
    if (!holds) this.#o.found({ oracle: 'O3 chain', what: `${this.#o.subject} seq ${seq}: ${what}` })
  }
}

/** Of a record between stages; infinite for a drain, and for what other people read. */
function orderTimeOf(record: string): number {
  const [at] = record.startsWith('[') ? (JSON.parse(record) as unknown[]) : []
  return typeof at === 'number' ? at : Number.POSITIVE_INFINITY
}

/** O1, O2 and O4: the run against its fault-free twin. */
export function compare(run: Outcome, twin: Outcome): Finding[] {
  const findings: Finding[] = []
  for (const [subject, expected] of twin.outputs) {
    const difference = differenceOf(run.outputs.get(subject) ?? [], expected)
    if (difference !== null) findings.push({ ...difference, what: `${subject}: ${difference.what}` })
  }
  const state = firstDifference(run.dump, twin.dump)
  if (state !== null) findings.push({ oracle: 'O1 twin', what: `state: ${state}` })
  const [counts, expected] = [JSON.stringify(run.tally), JSON.stringify(twin.tally)]
  if (counts !== expected) findings.push({ oracle: 'O1 twin', what: `tally ${counts}, expected ${expected}` })
  return [...findings, ...conservation(run)]
}

/** read = accepted + duplicates + dead letters, and each dead letter is in its output. */
export function conservation({ tally }: Outcome): Finding[] {
  const { read, accepted = 0, duplicates = 0, dead_letters = 0 } = tally.counts
  if (read === undefined || read === accepted + duplicates + dead_letters) return []
  const what = `read ${read}, accepted ${accepted}, duplicates ${duplicates}, dead letters ${dead_letters}`
  return [{ oracle: 'O4 conservation', what }]
}

/** Which records are missing or too many (O2), or, with the same records, where their order differs (O1). */
function differenceOf(records: readonly string[], expected: readonly string[]): Finding | null {
  const first = firstDifference(records, expected)
  if (first === null) return null
  const lost = without(expected, records)
  const added = without(records, expected)
  // A changed record is one lost and one added; that is another byte, not another number of records.
  if (lost.length === added.length) return { oracle: 'O1 twin', what: first }
  return { oracle: 'O2 ids', what: `${lost.length} lost, ${added.length} unexpected or again; ${first}` }
}

function without(records: readonly string[], others: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const other of others) counts.set(other, (counts.get(other) ?? 0) + 1)
  return records.filter((record) => {
    const left = counts.get(record) ?? 0
    counts.set(record, left - 1)
    return left <= 0
  })
}

function firstDifference(lines: readonly string[], expected: readonly string[]): string | null {
  const at = expected.findIndex((line, i) => line !== lines[i])
  if (at === -1 && lines.length === expected.length) return null
  const place = at === -1 ? expected.length : at
  return `line ${place + 1} of ${lines.length} is ${lines[place]}, expected ${expected[place]} of ${expected.length}`
}
