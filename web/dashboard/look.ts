// One look at a node: its tasks, its features, and the watched values.
// LK1: a look has three ends: values, no answer at all, or a token that is missing or wrong. What single requests were
//      refused with is a part of the values: a token without the scope for tasks still shows what it may.

import type {
  HoldfastClient,
  ListFeaturesAnswer,
  ReadFeaturesAnswer,
  StatusAnswer,
  TopFeaturesAnswer,
} from '../../client/holdfast.ts'
import { ApiError, NoAnswer } from '../../client/transport.ts'
import { nameOf, type Watched } from './watch-list.ts'

export type Feature = ListFeaturesAnswer['features'][number]
/** What was answered, or in words why not. */
export type Part<T> = { readonly answer: T } | { readonly refusal: string }

export interface WatchedValue {
  readonly value: ReadFeaturesAnswer['values'][number]['value']
  /** Event time, milliseconds. */
  readonly asOf: number | null
  readonly epoch: number
}

export interface Values {
  readonly kind: 'values'
  readonly status: Part<StatusAnswer>
  readonly features: Part<readonly Feature[]>
  /** By the names of the rows (watch-list.ts). */
  readonly watched: ReadonlyMap<string, Part<WatchedValue>>
  readonly top: Part<TopFeaturesAnswer>
}

/** Windows for which the node judges scores; null: it trains no model, or its status may not be seen. */
export const evaluatedIn = ({ status }: Values): readonly string[] | null =>
  'answer' in status ? status.answer.evaluated : null

type Reads = (readonly [string, Part<WatchedValue>])[]

export type Look = Values | { readonly kind: 'no answer' } | { readonly kind: 'token' }

/** The list that the page shows. */
const TOP = { feature: 'page_views_1h', entity: 'page' }
const TOP_KEYS = 10

export async function lookAt(client: HoldfastClient, rows: readonly Watched[]): Promise<Look> {
  try {
    const [status, [features, watched], top] = await Promise.all([
      part(client.status()),
      lookAtFeatures(client, rows),
      part(client.topFeatures(TOP.feature, TOP.entity, { top: TOP_KEYS })),
    ])
    return { kind: 'values', status, features, watched, top }
  } catch (error) {
    if (error instanceof NoAnswer) return { kind: 'no answer' }
    if (error instanceof ApiError) return { kind: 'token' }
    throw error
  }
}

/** The answer or its refusal. Throws NoAnswer, and the ApiError that a token would help. */
export async function part<T>(asked: Promise<T>): Promise<Part<T>> {
  try {
    return { answer: await asked }
  } catch (error) {
    if (error instanceof ApiError && error.status !== 401) return { refusal: error.message }
    throw error
  }
}

/** The features first: a row of another one is known to have no value, and is not asked for once a second. */
async function lookAtFeatures(
  client: HoldfastClient,
  rows: readonly Watched[],
): Promise<readonly [Values['features'], Values['watched']]> {
  const features = await part(client.listFeatures().then((list) => list.features))
  if ('refusal' in features) return [features, new Map(rows.map((row) => [nameOf(row), features]))]
  const known = new Set(features.answer.map(featureName))
  const reads = await Promise.all(
    grouped(rows).map(async (group) => (known.has(featureName(group[0]!)) ? readGroup(client, group) : unknown(group))),
  )
  return [features, new Map(reads.flat())]
}

const featureName = ({ feature, entity }: Pick<Watched, 'feature' | 'entity'>): string =>
  nameOf({ feature, entity, key: '' })

const unknown = (group: readonly Watched[]): Reads =>
  group.map((row) => [nameOf(row), { refusal: 'this node has no such feature' }])

/** Rows of one feature and entity are one request. */
function grouped(rows: readonly Watched[]): (readonly Watched[])[] {
  return [...Map.groupBy(rows, featureName).values()]
}

async function readGroup(client: HoldfastClient, group: readonly Watched[]): Promise<Reads> {
  const { feature, entity } = group[0]!
  const read = await part(client.readFeatures(feature, entity, { keys: group.map(({ key }) => key) }))
  return group.map((row, i) => [nameOf(row), 'answer' in read ? { answer: valueAt(read.answer, i) } : read])
}

function valueAt({ values, snapshots }: ReadFeaturesAnswer, i: number): WatchedValue {
  const { value, snapshot } = values[i]!
  const { as_of, epoch } = snapshots[snapshot]!
  return { value, asOf: as_of, epoch }
}
