// What a task has to publish with its next commit: JSON texts by destination.
// O1: within a batch, what goes to one destination is in the order (input, operator, ordinal); batches follow each other.

import { assert } from '../log/errors.ts'
import { partitionOf } from '../log/frame.ts'
import type { Rec } from '../operators/operator.ts'
import { type ClockMode, type ExchangePlan, INGRESS, type OutputPlan } from './plan.ts'

interface Pending {
  records: string[]
  /** Place of each record in its batch (input, operator), only for the batch that is open. */
  inputs: number[]
  nodes: number[]
  /** Records of finished batches: their order is final. */
  finished: number
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
      records: [],
      inputs: [],
      nodes: [],
      finished: 0,
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

  /** The same control record (drain) to every partition of every exchange, behind everything else. */
  toEveryTask(json: string): void {
    for (const pending of this.#pending.slice(0, this.#exchanges.length * this.#partitions))
      this.#add(pending, json, 0, 0)
    this.endBatch()
  }

  endBatch(): void {
    for (const pending of this.#pending) {
      if (pending.inputs.length === 0) continue
      if (pending.mixed) putInOrder(pending)
      pending.finished = pending.records.length
      pending.inputs.length = 0
      pending.nodes.length = 0
      pending.mixed = false
    }
  }

  /** Takes everything, by destination: the commit's cut. */
  take(): string[][] {
    return this.#pending.map((pending) => {
      const { records } = pending
      if (records.length === 0) return records
      pending.records = []
      pending.finished = 0
      return records
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

function putInOrder({ records, inputs, nodes, finished }: Pending): void {
  const order = inputs.map((_, i) => i).sort((a, b) => inputs[a]! - inputs[b]! || nodes[a]! - nodes[b]! || a - b)
  const sorted = order.map((i) => records[finished + i]!)
  for (let i = 0; i < sorted.length; i++) records[finished + i] = sorted[i]!
}
