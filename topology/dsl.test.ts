// What the DSL refuses, what it compiles to, and what a fingerprint covers.

import { describe, expect, it } from 'vitest'
import type { Operator } from '../operators/operator.ts'
import { LATENESS_MS_MAX, PARTITIONS_MAX, type TopologyBuilder, type TopologyOptions, topology } from './dsl.ts'
import {
  codecsOf,
  type ExchangeCodec,
  exchangeDestination,
  FILE_WRITER,
  outputDestination,
  type Plan,
  plainMapping,
} from './plan.ts'

type AnyOperator = Operator<unknown, unknown>
const OPTIONS: TopologyOptions = { namespace: 'ns', name: 'n', clock: 'data', partitions: 2, latenessMs: 5 }
const op = (name: string, changes: Partial<AnyOperator> = {}): AnyOperator => ({
  ...{ name, version: 1, settings: { a: 1 }, stores: [], process: (batch) => batch },
  ...changes,
})
const codec: ExchangeCodec<unknown, unknown> = {
  ...{ name: 'c', version: 1, where: () => true, key: () => '', encode: () => '1', decode: () => 1 },
}
const source = (t: TopologyBuilder) => t.source('first', op('in'))
const plan = (options: Partial<TopologyOptions> = {}, build: (t: TopologyBuilder) => void = source): Plan =>
  topology({ ...OPTIONS, ...options }, build)

describe('refused with USAGE, naming it', () => {
  const refused = (message: string, run: () => unknown) =>
    expect(run).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }))

  it.each(['', 'Shop', 'a_b', 'a.b', 'a b', 'x'.repeat(33)])('namespace %j', (namespace) => {
    refused(`namespace "${namespace}"`, () => plan({ namespace }))
  })
  it.each([0, -1, 1.5, Number.NaN, PARTITIONS_MAX + 1])('%d partitions', (partitions) => {
    refused(`not ${partitions}`, () => plan({ partitions }))
  })
  it.each([-1, 0.5, Number.NaN, LATENESS_MS_MAX + 1])('lateness %d', (latenessMs) => {
    refused(`not ${latenessMs}`, () => plan({ latenessMs }))
  })
  it.each(['', 'in', 'out', 'A', 'a_b', 'a.b', 'a*', 'x'.repeat(33)])('stage name %j', (name) => {
    refused(`"${name}"`, () => plan({}, (t) => t.source(name, op('in'))))
    refused(`"${name}"`, () => plan({}, (t) => source(t).keyBy(name, codec)))
  })
  it.each(['', 'A', 'a.b', 'a>', 'x'.repeat(33)])('output name %j', (name) => {
    refused(`"${name}"`, () => plan({}, (t) => t.source('first', op('in'), [{ name, mode: 'records' }])))
  })
  it('two stages or outputs of one name, two sources, none', () => {
    refused('"first" is named twice', () => plan({}, (t) => source(t).keyBy('first', codec)))
    const output = { name: 'o', mode: 'records' } as const
    refused('"o" is named twice', () => plan({}, (t) => t.source('first', op('in'), [output, output])))
    refused('one source', () => plan({}, (t) => [source(t), source(t)]))
    refused('needs a source', () => plan({}, () => {}))
  })
  it('a stage that sends to another twice, or has no input', () => {
    refused('"first" sends to stage "s" twice', () =>
      plan({}, (t) => {
        const events = source(t)
        t.merge('s', [events.via(codec), events.through(op('a')).via(codec)])
      }),
    )
    refused('stage "s" has no input', () => plan({}, (t) => [source(t), t.merge('s', [])]))
  })
  it('more stores than ids', () => {
    const stores = Array.from({ length: 251 }, (_, i) => ({ kind: 'queue', id: i, name: `${i}` }) as const)
    refused('250 stores', () => plan({}, (t) => source(t).through(op('many', { stores }))))
  })
})

describe('a plan', () => {
  const store = (name: string) => ({ kind: 'queue', id: 1, name }) as const
  const whole = plan({}, (t) => {
    const events = t
      .source('first', op('in'), [{ name: 'dead', mode: 'records' }])
      .through(op('a', { stores: [store('x'), store('y')] }))
    events.through(op('b', { stores: [store('x')] }))
    events.keyBy('second', codec).through(op('c'))
  })

  it('has stages whose nodes know where their records come from, and stores with ids of their own', () => {
    const [first, second] = whole.stages
    expect(first!.nodes.map(({ operator, from }) => [operator.name, from])).toEqual([
      ['a', -1],
      ['b', 0],
    ])
    expect(first!.stores.map(({ id, name }) => [id, name])).toEqual([
      [1, 'a/x'],
      [2, 'a/y'],
      [3, 'b/x'],
    ])
    expect(first!.exchanges.map(({ stage, from }) => [stage, from])).toEqual([['second', 0]])
    expect(second!.nodes.map(({ operator, from }) => [operator.name, from])).toEqual([['c', -1]])
  })

  it('names the writers of each stage', () => {
    expect(whole.stages.map(({ writers }) => writers)).toEqual([[FILE_WRITER], ['first-0', 'first-1']])
    expect(plan({ clock: 'wall' }).stages[0]!.writers).toEqual([])
  })

  it('merges what several stages send: a codec for each, and the tasks of all as writers', () => {
    const other = { ...codec, name: 'd' }
    const diamond = (first: typeof codec, second: typeof codec) =>
      plan({}, (t) => {
        const events = source(t)
        const asked = events.keyBy('asked', codec)
        t.merge('both', [events.via(first), asked.via(second)], [{ name: 'o', mode: 'records' }]).through(op('c'))
      })
    const [first, asked, both] = diamond(codec, other).stages
    expect(first!.exchanges.map(({ stage }) => stage)).toEqual(['asked', 'both'])
    expect(asked!.exchanges.map(({ stage }) => stage)).toEqual(['both'])
    expect(both!.writers).toEqual(['first-0', 'first-1', 'asked-0', 'asked-1'])
    expect([...codecsOf(both!, 2)].map(([writer, { name }]) => [writer, name])).toEqual([
      ['first-0', 'c'],
      ['first-1', 'c'],
      ['asked-0', 'd'],
      ['asked-1', 'd'],
    ])
    expect(both!.nodes.map(({ from }) => from)).toEqual([-1])
    expect(diamond(codec, other).fingerprint).not.toBe(diamond(other, codec).fingerprint)
  })

  it('names streams and subjects', () => {
    expect(exchangeDestination(whole, 'second', 1, 'first-0')).toEqual({
      stream: 'ns_second_1',
      subject: 'ns.second.1.first-0',
      mode: 'frames',
    })
    expect(outputDestination(whole, { name: 'dead', mode: 'records' }, 0)).toEqual({
      stream: 'ns_out_dead_0',
      subject: 'ns.out.dead.0',
      mode: 'records',
    })
    expect(plainMapping(whole)).toEqual({ 'ns.in.*': 'ns.first.{{partition(2,1)}}.in' })
    expect(plainMapping(plan({ partitions: 1 }))).toEqual({ 'ns.in.*': 'ns.first.0.in' })
  })
})

describe('the fingerprint', () => {
  const base = plan().fingerprint
  const withNode = (changes: Partial<AnyOperator>) => plan({}, (t) => source(t).through(op('a', changes))).fingerprint
  const withCodec = (changes: Partial<typeof codec>) =>
    plan({}, (t) => source(t).keyBy('s', { ...codec, ...changes })).fingerprint

  it('is the same for the same plan, whatever the namespace, its name and the order of settings', () => {
    expect(plan({ namespace: 'other', name: 'other' }).fingerprint).toBe(base)
    expect(withNode({ settings: { a: 1, b: 2 } })).toBe(withNode({ settings: { b: 2, a: 1 } }))
  })

  it('differs by whatever may change an output byte', () => {
    const all = [
      base,
      plan({ clock: 'wall' }).fingerprint,
      plan({ partitions: 3 }).fingerprint,
      plan({ latenessMs: 6 }).fingerprint,
      plan({}, (t) => t.source('other', op('in'))).fingerprint,
      plan({}, (t) => t.source('first', op('in', { version: 2 }))).fingerprint,
      plan({}, (t) => t.source('first', op('in'), [{ name: 'o', mode: 'records' }])).fingerprint,
      plan({}, (t) => t.source('first', op('in'), [{ name: 'o', mode: 'frames' }])).fingerprint,
      withNode({}),
      withNode({ version: 2 }),
      withNode({ settings: { a: 2 } }),
      plan({}, (t) => source(t).through(op('a')).through(op('a'))).fingerprint,
      plan({}, (t) => {
        const events = source(t)
        events.through(op('a'))
        events.through(op('a'))
      }).fingerprint,
      withCodec({}),
      withCodec({ version: 2 }),
      withCodec({ name: 'd' }),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})
