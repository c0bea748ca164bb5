// All models by name, and their bytes: what `holdfast train --out` writes and a trainer keeps.
// MS1: a file is read back to the bit or not at all: its check covers every byte, its settings must be those of who reads it.
// MS2: it has no more than what was learned: blocks that hold only zeros are left out.

import { HoldfastError } from '../log/errors.ts'
import { BASE_RATE, BaseRate, type BaseRateSettings } from './base-rate.ts'
import { COUNTER, Counter, type CounterSettings } from './counter.ts'
import { FTRL, Ftrl, type FtrlSettings } from './ftrl.ts'
import { hashBytes } from './hash.ts'
import type { Model } from './model.ts'
import { BLOCK_BYTES, type Parameters } from './parameters.ts'

export type ModelSettings = BaseRateSettings | CounterSettings | FtrlSettings
export type ModelName = ModelSettings['model']

export const MODEL_DEFAULTS: { readonly [N in ModelName]: Extract<ModelSettings, { model: N }> } = {
  'base-rate': BASE_RATE,
  counter: COUNTER,
  ftrl: FTRL,
}
export const MODEL_NAMES = Object.keys(MODEL_DEFAULTS) as readonly ModelName[]

/** A model that has learned nothing. */
export function createModel(settings: ModelSettings): Model {
  switch (settings.model) {
    case 'base-rate':
      return new BaseRate(settings)
    case 'counter':
      return new Counter(settings)
    case 'ftrl':
      return new Ftrl(settings)
  }
}

/** Something with state: a model, or what stands beside one. */
export interface Part {
  readonly settings: object
  readonly parameters: Parameters
}
export type Parts = Readonly<Record<string, Part>>

interface Head {
  readonly release: 1
  readonly about: object
  readonly parts: readonly { readonly name: string; readonly settings: object; readonly blocks: readonly number[] }[]
}

const MAGIC = Buffer.from('holdfast model\n')
const LENGTH_BYTES = 4
const CHECK_SEEDS = [1, 2] as const
const CHECK_BYTES = LENGTH_BYTES * CHECK_SEEDS.length

/**
 * The bytes of parts: what they are, as a line of JSON, then their blocks, then a check of all before it.
 * @param about what else whoever reads them has to agree to: which rows they learned, in which form
 */
export function saveParts(about: object, parts: Parts): Uint8Array {
  const blocks: Uint8Array[] = []
  const told = Object.entries(parts).map(([name, { settings, parameters }]) => {
    const kept = Array.from({ length: parameters.blocks }, (_, block) => block).filter((b) => !parameters.isBlank(b))
    blocks.push(...kept.map((block) => parameters.read(block)))
    return { name, settings, blocks: kept }
  })
  const head = Buffer.from(`${JSON.stringify({ release: 1, about, parts: told } satisfies Head)}\n`)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32LE(head.length)
  const bytes = Buffer.concat([MAGIC, length, head, ...blocks])
  return Buffer.concat([bytes, checkOf(bytes)])
}

/** Puts what `saveParts` wrote into parts that have learned nothing. Throws USAGE where the bytes are not of just these. */
export function loadParts(bytes: Uint8Array, about: object, into: Parts): void {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = file.length - CHECK_BYTES
  const headAt = MAGIC.length + LENGTH_BYTES
  if (end < headAt || !file.subarray(0, MAGIC.length).equals(MAGIC)) throw refusal('it is not a model of Holdfast')
  if (!checkOf(file.subarray(0, end)).equals(file.subarray(end))) throw refusal('its bytes have changed or are cut')
  let at = headAt + file.readUInt32LE(MAGIC.length)
  const head = JSON.parse(file.toString('utf8', headAt, at)) as Head
  const found = JSON.stringify([head.about, head.parts.map(({ name, settings }) => [name, settings])])
  const expected = JSON.stringify([about, Object.entries(into).map(([name, { settings }]) => [name, settings])])
  if (found !== expected) throw refusal(`it is ${found}, where ${expected} is asked for`)
  for (const { name, blocks } of head.parts)
    for (const block of blocks) {
      into[name]!.parameters.write(block, file.subarray(at, at + BLOCK_BYTES))
      at += BLOCK_BYTES
    }
}

function checkOf(bytes: Uint8Array): Buffer {
  const check = Buffer.alloc(CHECK_BYTES)
  CHECK_SEEDS.forEach((seed, i) => {
    check.writeInt32LE(hashBytes(bytes, seed), i * LENGTH_BYTES)
  })
  return check
}

const refusal = (why: string): HoldfastError => new HoldfastError('USAGE', `the model cannot be read: ${why}`)
