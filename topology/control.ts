// Control records: what is not data but must come through the log because it may change a result.
// On a numbered writer's subject: `drain`. On the control subject, unnumbered and idempotent: `tick`, `config`.
// A tick carries no time: it stands for its own JetStream timestamp (protocol.md, section 8).

import type { ControlRecord } from './commit-record.ts'

/** The writer sends no more. `as_of`: highest accepted event time it knows, milliseconds; null if there was none. */
export interface Drain {
  readonly hf: 'drain'
  readonly as_of: number | null
}

export interface Tick {
  readonly hf: 'tick'
}

/** Holds from the order time `from`, or from its place in the log if that is later; lower activations are ignored. */
export interface Config extends ControlRecord {
  readonly hf: 'config'
}

export type Control = Drain | Tick | Config

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
  if (kind !== 'config') return null
  const [name, activation, from] = [field(value, 'kind'), field(value, 'activation'), field(value, 'from')]
  if (typeof name !== 'string' || !Number.isSafeInteger(activation) || !Number.isSafeInteger(from)) return null
  return {
    hf: 'config',
    kind: name,
    activation: activation as number,
    from: from as number,
    body: field(value, 'body'),
  }
}

/** The controls that hold after `next` was read: per kind only rising activations count. */
export function withControl(controls: readonly ControlRecord[], next: ControlRecord): readonly ControlRecord[] {
  const known = controls.filter(({ kind }) => kind === next.kind)
  if (known.some(({ activation }) => activation >= next.activation)) return controls
  return [...controls, next]
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
