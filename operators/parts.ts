// What aggregates are made of. A part is a summary of some events that can be joined with the summary of others; averages,
// variances, rates and ratios are computed of parts when they are read (contract.md, section 6).
// PT1: joining is commutative and associative and exact: a part is a function of the set of its events, not of their order.
// PT2: a double is never accumulated: numbers are whole at the scale that their declaration names.

import { assert } from '../log/errors.ts'
import { addExact, ByteReader, type ByteWriter, corrupt, type Exact, multiplyExact } from './bytes.ts'
import { ID_BYTES_MAX } from './event.ts'
import type { Maybe } from './expression.ts'
import { addId, type IdSet, joinIds, newIdSet, readIds, writeIds } from './sketch.ts'

/** `scale`: units of one, such as 10^6 for money. */
export type PartSpec =
  | { readonly kind: 'count' }
  /** `values`: how many numbers there are that the others take. */
  | { readonly kind: 'values' | 'sum' | 'squares' | 'least' | 'greatest'; readonly scale: number }
  /** Different texts. */
  | { readonly kind: 'distinct' }
  /** Texts with how often each came. */
  | { readonly kind: 'tally' }

/** How often each of some ids came: of those of a part the TALLY_IDS_MAX with the lowest hashes, and those exactly. */
export type Tally = Map<string, number>
export type PartState = Exact | IdSet | Tally

/**
 * Bytes of a text that is kept, in a set, a tally or a list: as long as an id may be. A longer one adds nothing: cut or hashed it would
 * be another text, and 64 of them would make every commit of a key write kilobytes.
 */
export const KEPT_TEXT_BYTES_MAX = ID_BYTES_MAX
/** UTF-16 units have at most three bytes of UTF-8. */
const UTF8_BYTES_MAX = 3

/** Whether a value is a text that is longer than any that is kept. */
export function isTooLong(value: Maybe): boolean {
  if (typeof value !== 'string' || value.length * UTF8_BYTES_MAX <= KEPT_TEXT_BYTES_MAX) return false
  return Buffer.byteLength(value, 'utf8') > KEPT_TEXT_BYTES_MAX
}

/** Ids of one tally: a list of interests is a few dozen long. */
export const TALLY_IDS_MAX = 64

/** The whole number that stands for x at a scale; undefined where no double holds it exactly. */
export function scaled(x: number, scale: number): number | undefined {
  const units = Math.floor(x * scale + 0.5)
  return Number.isSafeInteger(units) ? units + 0 : undefined
}

/** The part of one event; undefined where it adds nothing. `input`: for `count` true, else what is aggregated. */
export function partOf(spec: PartSpec, input: Maybe): PartState | undefined {
  switch (spec.kind) {
    case 'count':
      return input === true ? 1 : undefined
    case 'distinct':
    case 'tally':
      if (typeof input !== 'string') return undefined
      return spec.kind === 'tally' ? new Map([[input, 1]]) : oneId(input)
    default: {
      const units = typeof input === 'number' ? scaled(input, spec.scale) : undefined
      if (units === undefined) return undefined
      if (spec.kind === 'values') return 1
      return spec.kind === 'squares' ? multiplyExact(units, units) : units
    }
  }
}

/** `to` and `from` as one. May change `to`, never `from`. */
export function joined(spec: PartSpec, to: PartState, from: PartState): PartState {
  switch (spec.kind) {
    case 'count':
    case 'values':
    case 'sum':
    case 'squares':
      return addExact(to as Exact, from as Exact)
    case 'least':
      return (from as number) < (to as number) ? from : to
    case 'greatest':
      return (from as number) > (to as number) ? from : to
    case 'distinct':
      joinIds(to as IdSet, from as IdSet)
      return to
    case 'tally':
      return joinTallies(to as Tally, from as Tally)
  }
}

/** A copy that may be changed. */
export function copyOf(state: PartState): PartState {
  if (typeof state !== 'object') return state
  if (state instanceof Map) return new Map(state)
  const copy = newIdSet()
  joinIds(copy, state)
  return copy
}

export function writePart({ kind }: PartSpec, state: PartState, writer: ByteWriter): void {
  if (kind === 'distinct') writer.sized(() => writeIds(writer, state as IdSet))
  else if (kind === 'tally') writer.sized(() => writeTally(writer, state as Tally))
  else writer.exact(state as Exact)
}

function writeTally(writer: ByteWriter, tally: Tally): void {
  writer.varint(tally.size)
  for (const [id, count] of [...tally].sort(([a], [b]) => (a < b ? -1 : 1))) {
    writer.text(id)
    writer.varint(count)
  }
}

export function readPart({ kind }: PartSpec, reader: ByteReader): PartState {
  if (kind !== 'distinct' && kind !== 'tally') return reader.exact()
  const own = new ByteReader(reader.sized())
  const state = kind === 'distinct' ? readIds(own) : readTally(own)
  if (!own.atEnd) throw corrupt('a part is longer than what is in it')
  return state
}

const readTally = (reader: ByteReader): Tally => new Map(reader.list(() => [reader.text(), reader.varint()] as const))

/** Passes over a part, however large it is. */
export function skipPart({ kind }: PartSpec, reader: ByteReader): void {
  if (kind === 'distinct' || kind === 'tally') reader.sized()
  else reader.skipExact()
}

function oneId(id: string): IdSet {
  const set = newIdSet()
  addId(set, id)
  return set
}

/** An id that was left out once has a higher hash than all that are kept, for ever: so what is kept was counted from its first. */
function joinTallies(to: Tally, from: Tally): Tally {
  for (const [id, count] of from) to.set(id, (to.get(id) ?? 0) + count)
  if (to.size <= TALLY_IDS_MAX) return to
  const byHash = [...to].map(([id, count]) => ({ id, count, hash: rankOf(id) }))
  byHash.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1))
  assert(byHash.length > TALLY_IDS_MAX, 'there is one too many')
  return new Map(byHash.slice(0, TALLY_IDS_MAX).map(({ id, count }) => [id, count]))
}

/** FNV-1a 32 of UTF-16 units, mixed: any fixed order of ids that has nothing to do with their counts. */
function rankOf(id: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 12)) >>> 0
}
