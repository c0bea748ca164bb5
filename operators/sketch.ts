// How many different ids: exact while they are few, estimated by HyperLogLog (Flajolet et al. 2007) when they are many.
// K1: a set of ids has one form, whatever the order in which ids came and sets were joined: texts up to EXACT_IDS_MAX, above
//     that registers. Registers of a union are the greatest of both, so nothing is lost by changing early.

import type { ByteReader, ByteWriter } from './bytes.ts'
import { corrupt } from './bytes.ts'

/** Ids that are kept as they are: at some 20 bytes a kilobyte and a half, as much as the registers that replace them. */
export const EXACT_IDS_MAX = 64
const REGISTER_BITS = 10
/** Standard error 1.04 / sqrt(1,024) = 3.3 %. */
export const REGISTERS = 2 ** REGISTER_BITS

/** Leading zeros of 32 bits, and one. */
const RANK_MAX = 33

/** Mutable. */
export type IdSet = { ids: Set<string>; registers: null } | { ids: null; registers: Uint8Array }

export const newIdSet = (): IdSet => ({ ids: new Set(), registers: null })

/** Adds an id. */
export function addId(set: IdSet, id: string): void {
  if (set.ids === null) raise(set.registers, id)
  else {
    set.ids.add(id)
    if (set.ids.size > EXACT_IDS_MAX) toRegisters(set)
  }
}

/** Adds what is in `from`, which stays as it is. */
export function joinIds(to: IdSet, from: IdSet): void {
  if (from.ids !== null) {
    for (const id of from.ids) addId(to, id)
    return
  }
  if (to.ids !== null) toRegisters(to)
  const registers = to.registers!
  for (let i = 0; i < REGISTERS; i++) if (from.registers[i]! > registers[i]!) registers[i] = from.registers[i]!
}

/** How many there are: a whole number. */
export function countIds(set: IdSet): number {
  return set.ids === null ? estimate(set.registers) : set.ids.size
}

function toRegisters(set: IdSet): void {
  const registers = new Uint8Array(REGISTERS)
  for (const id of set.ids!) raise(registers, id)
  Object.assign(set, { ids: null, registers })
}

function raise(registers: Uint8Array, id: string): void {
  const [low, high] = hashes(id)
  const register = low % REGISTERS
  const rank = Math.clz32(high) + 1
  if (rank > registers[register]!) registers[register] = rank
}

/** The estimator of the paper, with linear counting where registers are empty; in this order of operations. */
function estimate(registers: Uint8Array): number {
  let sum = 0
  let empty = 0
  for (const rank of registers) {
    sum += 2 ** -rank
    if (rank === 0) empty++
  }
  const raw = ((0.7213 / (1 + 1.079 / REGISTERS)) * REGISTERS * REGISTERS) / sum
  if (raw <= 2.5 * REGISTERS && empty > 0) return Math.round(REGISTERS * Math.log(REGISTERS / empty))
  return Math.round(raw)
}

/** Two hashes of 32 bits: FNV-1a of UTF-8 with two beginnings, each mixed as MurmurHash3 ends. */
function hashes(id: string): readonly [number, number] {
  let [a, b] = [0x811c9dc5, 0x9747b28c]
  // Of ASCII, which nearly all ids are, units are bytes: no bytes are made.
  const bytes = isAscii(id) ? null : Buffer.from(id, 'utf8')
  const { length } = bytes ?? id
  for (let i = 0; i < length; i++) {
    const byte = bytes === null ? id.charCodeAt(i) : bytes[i]!
    a = Math.imul(a ^ byte, 0x01000193)
    b = Math.imul(b ^ byte, 0x85ebca6b)
    b = (b << 13) | (b >>> 19)
  }
  return [mixed(a), mixed(b)]
}

function isAscii(id: string): boolean {
  for (let i = 0; i < id.length; i++) if (id.charCodeAt(i) >= 0x80) return false
  return true
}

function mixed(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Ids in the order of their texts; of registers those that are not zero, as (distance, rank). */
export function writeIds(writer: ByteWriter, { ids, registers }: IdSet): void {
  if (ids !== null) {
    writer.varint(ids.size)
    for (const id of [...ids].sort()) writer.text(id)
    return
  }
  writer.varint(EXACT_IDS_MAX + 1)
  const used = [...registers.keys()].filter((i) => registers[i] !== 0)
  writer.varint(used.length)
  let before = -1
  for (const i of used) {
    writer.varint(i - before - 1)
    writer.varint(registers[i]!)
    before = i
  }
}

export function readIds(reader: ByteReader): IdSet {
  const count = reader.varint()
  if (count <= EXACT_IDS_MAX) {
    return { ids: new Set(Array.from({ length: count }, () => reader.text())), registers: null }
  }
  const registers = new Uint8Array(REGISTERS)
  let at = -1
  for (let left = reader.varint(); left > 0; left--) {
    at += reader.varint() + 1
    if (at >= REGISTERS) throw corrupt('a sketch has too many registers')
    registers[at] = rankFrom(reader)
  }
  return { ids: null, registers }
}

function rankFrom(reader: ByteReader): number {
  const rank = reader.varint()
  if (rank === 0 || rank > RANK_MAX) throw corrupt('a register has a rank that no hash has')
  return rank
}
