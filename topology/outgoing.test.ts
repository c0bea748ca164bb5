// O1: what goes to one destination is in the order (input, operator, ordinal), whatever order the operators ran in.

import { beforeEach, describe, expect, it } from 'vitest'
import { partitionOf } from '../log/frame.ts'
import type { Rec } from '../operators/operator.ts'
import { encodeRecord, Outgoing } from './outgoing.ts'
import { type ExchangeCodec, INGRESS, SOURCE } from './plan.ts'

const codec: ExchangeCodec<string, string> = {
  name: 'text',
  version: 1,
  where: (value) => value !== 'dropped',
  key: (value) => value,
  encode: (value) => JSON.stringify(value),
  decode: (json) => json as string,
}
const PARTITIONS = 2

let outgoing: Outgoing
beforeEach(() => {
  const exchanges = [{ stage: 'next', from: SOURCE, codec }]
  outgoing = new Outgoing('data', { partition: 1, partitions: PARTITIONS }, exchanges, [
    { name: 'dead', mode: 'records' },
    { name: 'x', mode: 'records' },
    { name: 'y', mode: 'frames' },
  ])
})

/** What there is to publish, record by record. */
function taken(): string[][] {
  return outgoing.take().map(({ texts, count }) => {
    const records = texts.flatMap((text) => text.split(',\n'))
    expect(records).toHaveLength(count)
    return records
  })
}

const rec = (value: string, input = 0): Rec<string> => ({
  ...{ value, at: 5, watermark: 4, late: true, rank: 1, type: 't', id: 'i', number: 9, input },
})
const X = PARTITIONS + 1
const Y = PARTITIONS + 2

/** What several operators say about three inputs, operator by operator. */
function operatorByOperator(inputs: readonly number[], output: string): void {
  for (const node of [0, 1, 2]) {
    for (const input of inputs)
      for (const ordinal of ['a', 'b']) outgoing.output(output, `${input}/${node}/${ordinal}`, input, node)
  }
}

const IN_ORDER = [0, 1, 2].flatMap((input) =>
  [0, 1, 2].flatMap((node) => ['a', 'b'].map((o) => `${input}/${node}/${o}`)),
)

describe('outputs', () => {
  it('of several operators are in the order (input, operator, ordinal)', () => {
    operatorByOperator([0, 1, 2], 'x')
    outgoing.endBatch()
    expect(taken()[X]).toEqual(IN_ORDER)
  })

  it('are the same in one batch and in three', () => {
    for (const input of [0, 1, 2]) {
      operatorByOperator([input], 'x')
      outgoing.endBatch()
    }
    expect(taken()[X]).toEqual(IN_ORDER)
  })

  it('of one operator that does not emit in the order of its inputs are put in order as well', () => {
    for (const input of [2, 0, 1]) outgoing.output('x', `${input}`, input, 0)
    outgoing.endBatch()
    expect(taken()[X]).toEqual(['0', '1', '2'])
  })

  it('of a later batch stay behind those of an earlier one', () => {
    outgoing.output('x', 'first', 7, 2)
    outgoing.endBatch()
    outgoing.output('x', 'third', 3, 1)
    outgoing.output('x', 'second', 3, 0)
    outgoing.output('y', 'alone', 0, 0)
    outgoing.endBatch()
    const all = taken()
    expect(all[X]).toEqual(['first', 'second', 'third'])
    expect(all[Y]).toEqual(['alone'])
  })

  it('are taken once', () => {
    outgoing.output('x', '1', 0, 0)
    outgoing.endBatch()
    expect(taken()[X]).toEqual(['1'])
    expect(taken()).toEqual([[], [], [], [], []])
  })

  it('that the stage does not have, and one that ingress and operators share, are refused', () => {
    expect(() => outgoing.output('z', '1', 0, 0)).toThrow('has an output z')
    outgoing.output('dead', '1', 0, INGRESS)
    expect(() => outgoing.output('dead', '1', 0, 0)).toThrow('to itself')
  })
})

describe('exchanges', () => {
  it('go to the partition of their key, with the order key', () => {
    for (const value of ['a', 'b', 'c', 'dropped']) outgoing.exchange(0, rec(value))
    outgoing.endBatch()
    const all = taken()
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const here = ['a', 'b', 'c'].filter((value) => partitionOf(value, PARTITIONS) === partition)
      expect(all[partition]).toEqual(here.map((value) => `[5,1,"${value}",9,"t","i"]`))
    }
  })

  it('in log order leave the order key at home', () => {
    expect(encodeRecord(rec('a'), '"a"', 'wall')).toBe('[5,1,"a"]')
  })

  it('drain goes to every task of every exchange, behind everything, and to no output', () => {
    outgoing.exchange(0, rec('a'))
    outgoing.endBatch()
    outgoing.toEveryTask('{"hf":"drain"}')
    const all = taken()
    for (let partition = 0; partition < PARTITIONS; partition++) expect(all[partition]!.at(-1)).toBe('{"hf":"drain"}')
    expect(all.slice(PARTITIONS)).toEqual([[], [], []])
  })
})
