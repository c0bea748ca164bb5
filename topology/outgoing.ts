// What a task has to publish with its next commit: JSON texts by destination, and files that they name.
// O1: within a batch, what goes to one destination is in the order (input, operator, ordinal); batches follow each other.

import { blobName } from '../log/blobs.ts'
import { assert } from '../log/errors.ts'
import { joinRecords, partitionOf } from '../log/frame.ts'
import type { ActiveModel } from '../operators/model-records.ts'
import { RANK, type Rec } from '../operators/operator.ts'
import { type FeedbackDelay, heldFrom } from './feedback.ts'
import { type ClockMode, type ExchangePlan, INGRESS, type OutputPlan } from './plan.ts'

/** Files by their names (log/blobs.ts). */
export type KeptBlobs = ReadonlyMap<string, Uint8Array>

/** What a commit publishes to one destination: texts of one batch's records each (joinRecords), and how many records in all. */
export interface Records {
  readonly texts: readonly string[]
  readonly count: number
}

interface Pending {
  /** Of finished batches. One string each: ten thousand small ones would outlive a collection of garbage. */
  texts: string[]
  count: number
  /** Records of the open batch, and the place of each in it (input, operator). */
  records: string[]
  inputs: number[]
  nodes: number[]
  /** The open batch is not in its order yet. */
  mixed: boolean
  /** Whether the ingress writes here. It runs ahead of the other operators, so the two cannot share an output. */
  ofIngress: boolean | null
}

/**
 * A record on its way between stages. In `clock: wall` log order is the order, so the order key stays at home.
 * The second field has two bits: 1 late, 2 emitted by a timer.
 */
export function encodeRecord(record: Rec<unknown>, payload: string, clock: ClockMode): string {
  const marks = (record.late ? 1 : 0) + (record.rank === RANK.timer ? 2 : 0)
  if (clock === 'wall') return `[${record.at},${marks},${payload}]`
  return `[${record.at},${marks},${payload},${record.number},${JSON.stringify(record.type)},${JSON.stringify(record.id)}]`
}

export class Outgoing {
  readonly #clock: ClockMode
  readonly #partitions: number
  readonly #partition: number
  readonly #exchanges: readonly ExchangePlan[]
  /** Exchanges by partition first, then outputs: the order of destinations. */
  readonly #pending: Pending[]
  readonly #outputs: ReadonlyMap<string, Pending>
  #blobs = new Map<string, Uint8Array>()

  constructor(
    clock: ClockMode,
    { partition, partitions }: { readonly partition: number; readonly partitions: number },
    exchanges: readonly ExchangePlan[],
    outputs: readonly OutputPlan[],
  ) {
    this.#clock = clock
    this.#partitions = partitions
    this.#partition = partition
    this.#exchanges = exchanges
    const count = exchanges.length * partitions + outputs.length
    this.#pending = Array.from({ length: count }, () => ({
      texts: [],
      count: 0,
      records: [],
      inputs: [],
      nodes: [],
      mixed: false,
      ofIngress: null,
    }))
    const first = exchanges.length * partitions
    this.#outputs = new Map(outputs.map(({ name }, i) => [name, this.#pending[first + i]!]))
  }

  exchange(index: number, record: Rec<unknown>): void {
    const { codec, from, keepsPartition, promises } = this.#exchanges[index]!
    if (!codec.where(record.value)) return
    if (promises !== undefined) {
      this.#sendBack(index, record, promises)
      return
    }
    const partition = keepsPartition ? this.#partition : partitionOf(codec.key(record.value), this.#partitions)
    const json = encodeRecord(record, codec.encode(record.value, record.at), this.#clock)
    this.#add(this.#pending[index * this.#partitions + partition]!, json, record.input, from)
  }

  /** FB3 (topology/feedback.ts): a version holds behind all that was promised before it was made. */
  #sendBack(index: number, record: Rec<unknown>, promises: FeedbackDelay): void {
    const { from, codec } = this.#exchanges[index]!
    const model = record.value as ActiveModel
    const json = codec.encode(model, record.at)
    assert(model.from >= heldFrom(record.at, promises), 'a version holds as long after it was made as was promised')
    const first = index * this.#partitions
    for (const pending of this.#pending.slice(first, first + this.#partitions))
      this.#add(pending, json, record.input, from)
  }

  output(name: string, json: string, input: number, node: number): void {
    const pending = this.#outputs.get(name)
    assert(pending !== undefined, `the stage has an output ${name}`)
    const ofIngress = node === INGRESS
    assert(
      pending.ofIngress === null || pending.ofIngress === ofIngress,
      `the ingress has the output ${name} to itself`,
    )
    pending.ofIngress = ofIngress
    this.#add(pending, json, input, node)
  }

  /** The same control record (drain, plan) to every partition of every exchange that it is `for`, behind everything else. */
  toEveryTask(json: string, isFor: (destination: number) => boolean = () => true): void {
    for (const [i, pending] of this.#pending.slice(0, this.#exchanges.length * this.#partitions).entries())
      if (isFor(i)) this.#add(pending, json, 0, 0)
    this.endBatch()
  }

  endBatch(): void {
    for (const pending of this.#pending) {
      if (pending.records.length === 0) continue
      if (pending.mixed) putInOrder(pending)
      pending.texts.push(joinRecords(pending.records))
      pending.count += pending.records.length
      pending.records.length = 0
      pending.inputs.length = 0
      pending.nodes.length = 0
      pending.mixed = false
    }
  }

  /** A file that records name; returns its SHA-256, hex. */
  blob(bytes: Uint8Array): string {
    const sha256 = blobName(bytes)
    this.#blobs.set(sha256, bytes)
    return sha256
  }

  /** Takes the files: part of the commit's cut. */
  takeBlobs(): KeptBlobs {
    const blobs = this.#blobs
    if (blobs.size > 0) this.#blobs = new Map()
    return blobs
  }

  /** Takes everything, by destination: the commit's cut. */
  take(): Records[] {
    return this.#pending.map((pending) => {
      const { texts, count } = pending
      if (count > 0) pending.texts = []
      pending.count = 0
      return { texts, count }
    })
  }

  #add(pending: Pending, json: string, input: number, node: number): void {
    const last = pending.nodes.length - 1
    if (last >= 0 && (pending.nodes[last] !== node || pending.inputs[last]! > input)) pending.mixed = true
    pending.records.push(json)
    pending.inputs.push(input)
    pending.nodes.push(node)
  }
}

function putInOrder({ records, inputs, nodes }: Pending): void {
  const order = inputs.map((_, i) => i).sort((a, b) => inputs[a]! - inputs[b]! || nodes[a]! - nodes[b]! || a - b)
  const sorted = order.map((i) => records[i]!)
  for (let i = 0; i < sorted.length; i++) records[i] = sorted[i]!
}
