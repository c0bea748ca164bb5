// Whether information flows only where its owner lets it (rule R13): from events and fields, through keys, filters and aggregates,
// into features, and from features into those that are derived of them.
// PU1: a feature's purpose is allowed by everything it is made of. Of an event type without a policy nothing is made.
// PU2: its sensitivity is at least that of everything it is made of: a count by user is as personal as the user's id.
// PU3: a feature counts as what it was declared, so an owner can be stricter than the events are, and who derives cannot undo it.
// A refusal names the whole path. What people consented to is another matter, asked of each event.

import { HoldfastError } from '../../log/errors.ts'
import type { EventType } from '../../operators/event.ts'
import { EVENT_TYPES } from '../../operators/event.ts'
import {
  type Declarations,
  type FieldPolicy,
  PURPOSES,
  type Purpose,
  SENSITIVITIES,
  type Sensitivity,
  type SourcePolicy,
} from './declaration.ts'
import { EVENT_FIELDS, type Lineage, type LineageNode, lineageOf, type Source, sourceText } from './lineage.ts'

/** Something that a feature is made of, and what may become of it. */
interface Input {
  readonly name: string
  readonly label: Label
  readonly node: LineageNode | null
}
interface Label {
  /** null: for nothing. */
  readonly purpose: Purpose | null
  readonly sensitivity: Sensitivity
}

/** Which inputs are refused, in words. */
interface Refusal {
  readonly of: (input: Label) => boolean
  readonly why: (input: Label) => string
}

/** Refuses a flow that the policy does not allow. Throws USAGE with its path. The declarations must have passed checkDeclarations. */
export function checkPurposes(declarations: Declarations): void {
  checkPolicy(declarations.policy)
  const lineage = lineageOf(declarations)
  const labels = new Map<string, Label>()
  for (const node of lineage.values()) {
    const { id, declaration } = node
    const { purpose, sensitivity } = declaration
    const inputs = inputsOf(node, lineage, declarations.policy, labels)
    refuse(node, inputs, `its purpose ${purpose} is more than what it is made of allows`, {
      of: (input) => purposeRank(input.purpose) < purposeRank(purpose),
      why: (input) => `allowed: ${input.purpose ?? 'nothing'}`,
    })
    refuse(node, inputs, `its sensitivity "${sensitivity}" is less than that of what it is made of`, {
      of: (input) => SENSITIVITIES.indexOf(input.sensitivity) > SENSITIVITIES.indexOf(sensitivity),
      why: (input) => input.sensitivity,
    })
    labels.set(id, { purpose, sensitivity })
  }

  function refuse({ id }: LineageNode, inputs: readonly Input[], message: string, refusal: Refusal): void {
    const path = pathTo(inputs, refusal)
    if (path === null) return
    throw new HoldfastError('USAGE', `feature ${id}: ${message}: ${[id, ...path].join(' <- ')}`)
  }

  /** From the first input that is refused down to the deepest that is; its reason at the end. */
  function pathTo(inputs: readonly Input[], refusal: Refusal): string[] | null {
    const input = inputs.find(({ label }) => refusal.of(label))
    if (input === undefined) return null
    const deeper = input.node && pathTo(inputsOf(input.node, lineage, declarations.policy, labels), refusal)
    return deeper ? [input.name, ...deeper] : [`${input.name} (${refusal.why(input.label)})`]
  }
}

function inputsOf(
  { sources, of }: LineageNode,
  lineage: Lineage,
  policy: SourcePolicy,
  labels: ReadonlyMap<string, Label>,
): Input[] {
  return [
    ...of.map((id) => ({ name: id, label: labels.get(id)!, node: lineage.get(id)! })),
    ...sources.map((source) => ({ name: sourceText(source), label: labelOf(source, policy), node: null })),
  ]
}

/** Whether what may be used for one purpose may be used for another. */
export const isAllowedFor = (purpose: Purpose, wanted: Purpose): boolean => purposeRank(purpose) >= purposeRank(wanted)

const purposeRank = (purpose: Purpose | null): number => (purpose === null ? -1 : PURPOSES.indexOf(purpose))

/** What the policy says of a source, where it is strictest. */
function labelOf({ type, field }: Source, { types, fields }: SourcePolicy): Label {
  const label: Label = { purpose: types[type] ?? null, sensitivity: 'none' }
  if (field === null) return label
  const rules = [field, `${type}.${field}`].flatMap((name) => (Object.hasOwn(fields, name) ? [fields[name]!] : []))
  return rules.reduce(stricter, label)
}

function stricter(label: Label, { purpose, sensitivity }: FieldPolicy): Label {
  return {
    purpose: purposeRank(purpose) < purposeRank(label.purpose) ? purpose : label.purpose,
    sensitivity:
      SENSITIVITIES.indexOf(sensitivity) > SENSITIVITIES.indexOf(label.sensitivity) ? sensitivity : label.sensitivity,
  }
}

/** A rule with a misspelt name would protect nothing. */
function checkPolicy({ types, fields }: SourcePolicy): void {
  const check = (condition: boolean, message: string): void => {
    if (!condition) throw new HoldfastError('USAGE', `policy: ${message}`)
  }
  for (const [type, purpose] of Object.entries(types)) {
    check(EVENT_TYPES.has(type as EventType), `"${type}" is no event type`)
    check(PURPOSES.includes(purpose), `what ${type} is allowed for must be one of ${PURPOSES.join(', ')}`)
  }
  for (const [name, { purpose, sensitivity }] of Object.entries(fields)) {
    const [first, ...rest] = name.split('.')
    const field = first === 'props' || rest.length === 0 ? name : rest.join('.')
    check(field === name || EVENT_TYPES.has(first as EventType), `"${name}": there is no event type "${first}"`)
    check(FIELD.test(field), `"${name}" is no field`)
    check(!EVENT_FIELDS.includes(field), `"${name}" is in every event: say by type what that is allowed for`)
    check(PURPOSES.includes(purpose), `the purpose of ${name} must be one of ${PURPOSES.join(', ')}`)
    check(SENSITIVITIES.includes(sensitivity), `the sensitivity of ${name} must be one of ${SENSITIVITIES.join(', ')}`)
  }
}

/** As expressions name them. */
const FIELD = /^(props\.)?[A-Za-z_][A-Za-z0-9_]{0,63}$/
