// One look at a node: its tasks, its features, and the watched values.
// LK1: a look has three ends: values, no answer at all, or a token that is missing or wrong. What single requests were
//      refused with is a part of the values: a token without the scope for tasks still shows what it may.

import type { HoldfastClient, ListFeaturesAnswer, ReadFeaturesAnswer, StatusAnswer } from '../../client/holdfast.ts'
import { ApiError, NoAnswer } from '../../client/transport.ts'
import { nameOf, type Watched } from './watch-list.ts'

export type Feature = ListFeaturesAnswer['features'][number]
/** What was answered, or in words why not. */
export type Part<T> = { readonly answer: T } | { readonly refusal: string }

export interface WatchedValue {
  readonly value: number
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
}

export type Look = Values | { readonly kind: 'no answer' } | { readonly kind: 'token' }

export async function lookAt(client: HoldfastClient, rows: readonly Watched[]): Promise<Look> {
  try {
    const [status, features, ...reads] = await Promise.all([
      part(client.status()),
      part(client.listFeatures().then((list) => list.features)),
      ...grouped(rows).map((group) => readGroup(client, group)),
    ])
    return { kind: 'values', status, features, watched: new Map(reads.flat()) }
  } catch (error) {
    if (error instanceof NoAnswer) return { kind: 'no answer' }
    if (error instanceof ApiError) return { kind: 'token' }
    throw error
  }
}

/** The answer or its refusal. Throws NoAnswer, and the ApiError that a token would help. */
async function part<T>(asked: Promise<T>): Promise<Part<T>> {
  try {
    return { answer: await asked }
  } catch (error) {
    if (error instanceof ApiError && error.status !== 401) return { refusal: error.message }
    throw error
  }
}

/** Rows of one feature and entity are one request. */
function grouped(rows: readonly Watched[]): (readonly Watched[])[] {
  return [...Map.groupBy(rows, ({ feature, entity }) => nameOf({ feature, entity, key: '' })).values()]
}

async function readGroup(
  client: HoldfastClient,
  group: readonly Watched[],
): Promise<(readonly [string, Part<WatchedValue>])[]> {
  const { feature, entity } = group[0]!
  const read = await part(client.readFeatures(feature, entity, { keys: group.map(({ key }) => key) }))
  return group.map((row, i) => [nameOf(row), 'answer' in read ? { answer: valueAt(read.answer, i) } : read])
}

function valueAt({ values, snapshots }: ReadFeaturesAnswer, i: number): WatchedValue {
  const { value, snapshot } = values[i]!
  const { as_of, epoch } = snapshots[snapshot]!
  return { value, asOf: as_of, epoch }
}
