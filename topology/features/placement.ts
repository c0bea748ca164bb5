// Where groups of features are kept: each entity in the stage that is partitioned by its field, so that no key is spread and no
// record travels further than it must; and what of an event travels there.
// PM1: entities with one partition field share a stage, whatever their keys: a cross that has the user in it is kept with the user.
// PM2: a stage gets the events that something in it selects, and of those the fields that something in it reads, nothing else.

import { HoldfastError } from '../../log/errors.ts'
import type { Event, EventType, Fields } from '../../operators/event.ts'
import { type Expression, fieldsOf } from '../../operators/expression.ts'
import type { ExchangeCodec } from '../plan.ts'
import type { CompiledGroup } from './compile.ts'

/** Events come in partitioned by their users: to what is kept there they have no way to go. */
export const SOURCE_PARTITION = 'user_id'

/** The stage for each partition field. */
export type Stages = Readonly<Record<string, string>>

export interface PlacedGroups {
  readonly stage: string
  /** The field by which the stage is partitioned. */
  readonly partition: string
  readonly groups: readonly CompiledGroup[]
}

/** The groups by stage, in the order of the stages. Throws USAGE for a field that has none. */
export function placed(groups: readonly CompiledGroup[], stages: Stages): PlacedGroups[] {
  for (const { entity } of groups) {
    if (!Object.hasOwn(stages, entity.partition))
      throw new HoldfastError('USAGE', `entity ${entity.name}: no stage is partitioned by ${entity.partition}`)
  }
  return Object.entries(stages).flatMap(([partition, stage]) => {
    const own = groups.filter(({ entity }) => entity.partition === partition)
    return own.length === 0 ? [] : [{ stage, partition, groups: own }]
  })
}

/** Event types that something in these groups selects. Sorted. */
export function typesOf(groups: readonly CompiledGroup[]): EventType[] {
  const selections = groups.flatMap(({ group }) => [...group.parts, ...group.lists])
  return [...new Set(selections.flatMap(({ types }) => types))].sort()
}

/** Fields that something in these groups reads, `props.x` as it stands. Sorted. */
export function columnsOf(groups: readonly CompiledGroup[]): string[] {
  const expressions = groups.flatMap(({ group }) => [
    group.key,
    ...[...group.parts, ...group.lists].flatMap(({ where, of }) => [where, of]),
  ])
  return fieldsOf(expressions.filter((expression): expression is Expression => expression !== null))
}

/** PM2. An event on its way to a stage of features: [type, id, time, a value for each column], or all of its fields. `also`: further columns. */
export function featureExchange(
  { stage, partition, groups }: PlacedGroups,
  carries: 'columns' | 'events',
  /** Of records that are in flight too: what is new stands behind what was there, and what is gone keeps its place. */
  columns: readonly string[] = columnsOf(groups),
): ExchangeCodec<Event, Event> {
  const types = new Set(typesOf(groups))
  const reads = columns.map((column) => column.split('.'))
  const travels: Pick<ExchangeCodec<Event, Event>, 'where' | 'key' | 'version'> = {
    version: 1,
    where: ({ type, bots, fields }) => bots === undefined && types.has(type) && typeof fields[partition] === 'string',
    key: ({ fields }) => fields[partition] as string,
  }
  if (carries === 'events') {
    return {
      ...travels,
      name: `events for ${stage}, whole`,
      encode: ({ fields }) => JSON.stringify(fields),
      decode: (json) => eventWith(json as Fields),
    }
  }
  return {
    ...travels,
    // What travels is part of the plan: another set of columns is another exchange.
    name: `events for ${stage}: ${columns.join(' ')}`,
    encode: ({ type, id, time, fields }) =>
      JSON.stringify([type, id, time, ...reads.map(([first, second]) => valueAt(fields, first!, second) ?? null)]),
    decode: (json) => eventOf(json as [EventType, string, number, ...unknown[]], reads),
  }
}

function valueAt(fields: Fields, first: string, second: string | undefined): unknown {
  const value = fields[first]
  if (second === undefined) return value
  return isObject(value) ? value[second] : undefined
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function eventOf([type, id, time, ...values]: [EventType, string, number, ...unknown[]], reads: string[][]): Event {
  const fields: Record<string, unknown> = { type, event_id: id, event_time: time }
  const props: Record<string, unknown> = {}
  reads.forEach(([first, second], i) => {
    if (second === undefined) fields[first!] = values[i]
    else props[second] = values[i]
  })
  return eventWith({ ...(fields as unknown as Fields), props })
}

function eventWith(fields: Fields): Event {
  const { type, event_id: id, event_time: time, user_id } = fields
  const user = user_id ?? ''
  return { type, id, time, user, anonymous: user === '', fields }
}
