// Control records: what is not data but must come through the log because it may change a result.
// On a numbered writer's subject: `drain`, `plan`; by a feedback `model`. On the control subject, unnumbered and idempotent: `tick`,
// `config`, `model`.
// A tick carries no time: it stands for its own JetStream timestamp (protocol.md, section 8).

import type { ActiveModel } from '../operators/model-records.ts'
import type { ControlRecord } from './commit-record.ts'
import { type Configuration, isConfiguration } from './configuration.ts'

/** The writer sends no more. `as_of`: highest accepted event time it knows, milliseconds; null if there was none. */
export interface Drain {
  readonly hf: 'drain'
  readonly as_of: number | null
}

/** The writer has an edition of the plan from here on (topology/edition.ts). Times in milliseconds. */
export interface PlanChange {
  readonly hf: 'plan'
  readonly edition: number
  /** Highest event time that it had processed before; NO_WATERMARK: none. */
  readonly seen_after: number
}

export interface Tick {
  readonly hf: 'tick'
}

/** Holds from the order time `from`, or from its place in the log if that is later; lower activations are ignored. */
export interface Config extends ControlRecord {
  readonly hf: 'config'
}

/** Which version of a model scores: as Config. Read as a ControlRecord of the kind MODEL, whose body is the whole ActiveModel. */
export interface ModelActivation extends ControlRecord {
  readonly hf: 'model'
  readonly body: ActiveModel
}

/** The kind of the records whose body is a Configuration. */
export const CONFIGURATION = 'configuration'
/** The kind of those whose body is an ActiveModel. */
export const MODEL = 'model'

export type Control = Drain | PlanChange | Tick | Config | ModelActivation

const field = (value: object, name: string): unknown => (value as Record<string, unknown>)[name]

/** Data records are arrays in every numbered frame; an object with `hf` is a control record. null: neither. */
export function decodeControl(value: unknown): Control | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const kind = field(value, 'hf')
  if (kind === 'tick') return { hf: 'tick' }
  if (kind === 'drain') {
    const asOf = field(value, 'as_of')
    return { hf: 'drain', as_of: typeof asOf === 'number' ? asOf : null }
  }
  if (kind === 'plan') {
    const [edition, seenAfter] = [field(value, 'edition'), field(value, 'seen_after')]
    if (!Number.isSafeInteger(edition) || !Number.isSafeInteger(seenAfter)) return null
    return { hf: 'plan', edition: edition as number, seen_after: seenAfter as number }
  }
  if (kind === 'model') return decodeModel(value)
  if (kind !== 'config') return null
  const [name, activation, from] = [field(value, 'kind'), field(value, 'activation'), field(value, 'from')]
  if (typeof name !== 'string' || !Number.isSafeInteger(activation) || !Number.isSafeInteger(from)) return null
  const body = field(value, 'body')
  if (name === CONFIGURATION && !isConfiguration(body)) return null
  return { hf: 'config', kind: name, activation: activation as number, from: from as number, body }
}

/** The JSON text of a `model` control record. */
export function encodeModel({ activation, from, version, sha256, schema }: ActiveModel): string {
  return JSON.stringify({ hf: 'model', activation, from, version, sha256, schema })
}

const SHA256_HEX = /^[0-9a-f]{64}$/

function decodeModel(value: object): ModelActivation | null {
  const { activation, from, version, sha256, schema } = value as Record<string, unknown>
  const isWhole = (number: unknown, least: number): number is number =>
    Number.isSafeInteger(number) && (number as number) >= least
  if (!isWhole(activation, 1) || !isWhole(from, 0) || !isWhole(version, 1)) return null
  if (typeof sha256 !== 'string' || !SHA256_HEX.test(sha256) || typeof schema !== 'string') return null
  return { hf: 'model', kind: MODEL, activation, from, body: { activation, from, version, sha256, schema } }
}

/** Versions of a model that are kept behind the one that scores, for when that cannot be loaded: two bad files in a row are passed by. */
export const MODELS_BEFORE_MAX = 2

/**
 * The controls that are to be kept after `next` was read at a watermark: per kind only rising activations count, and what no
 * record after the watermark can meet any more is forgotten; of models not the last before it.
 */
export function withControl(
  controls: readonly ControlRecord[],
  next: ControlRecord,
  watermark: number,
): readonly ControlRecord[] {
  const known = controls.filter(({ kind }) => kind === next.kind)
  if (known.some(({ activation }) => activation >= next.activation)) return controls
  // In the order of their activations.
  const all = [...known, next]
  const isMet = ({ from, activation }: ControlRecord): boolean =>
    all.every((later) => later.activation <= activation || later.from > Math.max(from, watermark + 1))
  const kept = new Set(all.filter(isMet))
  const firstMet = all.findIndex(isMet)
  const behind = next.kind === MODEL ? all.slice(Math.max(0, firstMet - MODELS_BEFORE_MAX), firstMet) : []
  for (const control of behind) kept.add(control)
  return [...controls, next].filter((control) => control.kind !== next.kind || kept.has(control))
}

/** The body that holds for a record at an order time: of those begun, the one with the highest activation. */
export function controlAt(controls: readonly ControlRecord[], kind: string, at: number): unknown {
  let best: ControlRecord | undefined
  for (const control of controls) {
    if (control.kind !== kind || control.from > at) continue
    if (best === undefined || control.activation > best.activation) best = control
  }
  return best?.body
}

/** The configuration for an order time above the watermark; null: the one of the plan. */
export function configurationAt(controls: readonly ControlRecord[], at: number): Configuration | null {
  if (controls.length === 0) return null
  return (controlAt(controls, CONFIGURATION, at) as Configuration | undefined) ?? null
}

/** The version of the model that scores at an order time, with those that did before it; null: there is none. */
export function modelAt(controls: readonly ControlRecord[], at: number): ActiveModel | null {
  if (controls.length === 0) return null
  const begun = controls.filter(({ kind, from }) => kind === MODEL && from <= at)
  const [active, ...before] = begun.sort((a, b) => b.activation - a.activation).map(({ body }) => body as ActiveModel)
  if (active === undefined || before.length === 0) return active ?? null
  return { ...active, before: before.slice(0, MODELS_BEFORE_MAX) }
}

/** Whether records after a watermark may still meet several configurations. */
export function isChanging(controls: readonly ControlRecord[], watermark: number): boolean {
  return controls.some(({ kind, from }) => kind === CONFIGURATION && from > watermark + 1)
}

/** The smallest lateness of the configurations that are kept, milliseconds; `own`: that of the plan. */
export function leastLatenessMs(controls: readonly ControlRecord[], own: number): number {
  const given = controls.flatMap(({ kind, body }) => (kind === CONFIGURATION ? (body as Configuration).latenessMs : []))
  return Math.min(own, ...given)
}

/** The highest activation of a kind; 0: none. */
export function activationOf(controls: readonly ControlRecord[], of: string): number {
  return Math.max(0, ...controls.map(({ kind, activation }) => (kind === of ? activation : 0)))
}
