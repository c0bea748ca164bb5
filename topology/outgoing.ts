// What a task has to publish with its next commit: JSON texts by destination.
// O1: within a batch, what goes to one destination is in the order (input, operator, ordinal); batches follow each other.

import { assert } from '../log/errors.ts'
import { joinRecords, partitionOf } from '../log/frame.ts'
import type { Rec } from '../operators/operator.ts'
import { type ClockMode, type ExchangePlan, INGRESS, type OutputPlan } from './plan.ts'

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

/** A record on its way between stages. In `clock: wall` log order is the order, so the order key stays at home. */
export function encodeRecord(record: Rec<unknown>, payload: string, clock: ClockMode): string {
  const late = record.late ? 1 : 0
  if (clock === 'wall') return `[${record.at},${late},${payload}]`
  return `[${record.at},${late},${payload},${record.number},${JSON.stringify(record.type)},${JSON.stringify(record.id)}]`
}

export class Outgoing {
  readonly #clock: ClockMode
  readonly #partitions: number
  readonly #exchanges: readonly ExchangePlan[]
  /** Exchanges by partition first, then outputs: the order of destinations. */
  readonly #pending: Pending[]
  readonly #outputs: ReadonlyMap<string, Pending>

  constructor(
    clock: ClockMode,
    partitions: number,
    exchanges: readonly ExchangePlan[],
    outputs: readonly OutputPlan[],
  ) {
    this.#clock = clock
    this.#partitions = partitions
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
    const { codec, from } = this.#exchanges[index]!
    if (!codec.where(record.value)) return
    const partition = partitionOf(codec.key(record.value), this.#partitions)
    const json = encodeRecord(record, codec.encode(record.value, record.at), this.#clock)
    this.#add(this.#pending[index * this.#partitions + partition]!, json, record.input, from)
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
