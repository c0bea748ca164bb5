// What `holdfast features` says to a person: lines for each of its reports.

import type { Compatibility } from '../../topology/features/compatibility.ts'
import type { Costs, FeatureCost } from '../../topology/features/costs.ts'
import type { Declarations } from '../../topology/features/declaration.ts'
import type { ExplainedPart, FeatureExplanation } from '../../topology/features/explanation.ts'
import type { Duplicate } from '../../topology/features/meaning.ts'
import type { Registered } from '../../topology/features/registry.ts'
import { featureText } from '../../topology/features/wording.ts'
import { tableLines } from '../text-table.ts'

const n = (value: number): string => Math.round(value).toLocaleString('en-US')
const DAY_MS = 86_400_000
const counted = (count: number, what: string): string => `${n(count)} ${what}${count === 1 ? '' : 's'}`
const listed = (names: readonly string[]): string => (names.length === 0 ? 'nothing' : names.join(', '))

export function featuresText(features: readonly Registered[]): string[] {
  const rows = features.map(({ id, type, declaration: { owner, purpose, sensitivity, description } }) => [
    ...[id, type, owner, purpose, sensitivity, description],
  ])
  const head = ['FEATURE', 'TYPE', 'OWNER', 'PURPOSE', 'SENSITIVITY', 'WHAT']
  return [...tableLines(head, rows), counted(features.length, 'feature')]
}

export function shownText(
  { id, type, meaning, declaration }: Registered & { readonly meaning: string },
  declarations: Declarations,
): string[] {
  const { description, owner, purpose, sensitivity, retentionDays, default: value } = declaration
  return [
    `${id}: ${type}`,
    description,
    featureText(declaration, declarations),
    `owner ${owner} · for ${purpose} · sensitivity ${sensitivity} · retention ${counted(retentionDays, 'day')}`,
    `where there is no value: ${value === undefined ? 'absent' : JSON.stringify(value)}`,
    `meaning ${meaning}`,
  ]
}

export interface LineageReport {
  readonly feature: string
  readonly of: readonly string[]
  readonly sources: readonly string[]
  readonly into: readonly string[]
}

export function lineageText({ feature, of, sources, into }: LineageReport): string[] {
  return [
    feature,
    `  is derived of     ${listed(of)}`,
    `  is made of        ${listed(sources)}`,
    `  of it is derived  ${listed(into)}`,
  ]
}

export function duplicatesText(duplicates: readonly Duplicate[]): string[] {
  return duplicates.length === 0
    ? ['no duplicates']
    : duplicates.map(({ hash, features }) => `${hash}  ${features.join(' = ')}`)
}

export function costsText({ groups, owners, features }: Costs, unread: readonly string[]): string[] {
  const byBytes = [...features].sort((a, b) => b.bytes - a.bytes)
  return [
    ...tableLines(
      ['ENTITY', 'PARTS', 'LISTS', 'WINDOWS', 'TILES AT MOST', 'BYTES A KEY AT MOST'],
      groups.map(({ entity, parts, lists, windows, tiles, bytes }) => [entity, parts, lists, windows, tiles, bytes]),
    ),
    '',
    ...tableLines(
      ['OWNER', 'FEATURES', 'BYTES A KEY AT MOST'],
      owners.map(({ owner, features: count, bytesByEntity }) => {
        const bytes = Object.entries(bytesByEntity).map(([entity, of]) => `${entity} ${n(of)}`)
        return [owner, count, bytes.join(' · ')]
      }),
    ),
    '',
    ...tableLines(
      ['FEATURE', 'OWNER', 'PARTS', 'LISTS', 'BYTES A KEY AT MOST'],
      byBytes.map(({ feature, owner, parts, lists, bytes }) => [feature, owner, parts, lists, Math.round(bytes)]),
    ),
    ...unreadText(unread),
  ]
}

function unreadText(unread: readonly string[]): string[] {
  return unread.length === 0 ? [] : ['', `nobody reads, so not kept: ${unread.join(', ')}`]
}

const FROM = { source: 'where they come in', hop: 'over one hop' } as const

export function explanationText(explanation: FeatureExplanation, unread: readonly string[]): string[] {
  const { features, sources, groups, computed, rules, costs, before, after } = explanation
  const sizes = [before, after].map(({ records, parts, lists, bytes }) => [records, parts, lists, bytes])
  return [
    `${counted(features, 'feature')} in ${counted(groups.length, 'record')}`,
    ...sources.map(
      ({ partition, entities, types, columns, from }) =>
        `by ${partition}: ${entities.join(', ')} · reads ${types.join(', ')} once, ${FROM[from]} · of these ${columns.join(', ')}`,
    ),
    ...groups.flatMap(({ entity, key, tiles, bytes, levels, partsRead, listsRead }) => [
      '',
      `${entity}: one record by ${key} · up to ${n(tiles)} tiles, ${n(bytes)} bytes`,
      ...levels.map(({ paneMs, reachMs }) => `  panes of ${durationText(paneMs)} back to ${durationText(reachMs)}`),
      ...[...partsRead, ...listsRead].flatMap(partLines),
    ]),
    '',
    'computed when read',
    ...computed.map(({ feature, how }) => `  ${feature} = ${how}`),
    '',
    ...tableLines(
      ['RULE', 'FIRED', 'WHAT IT DOES'],
      rules.map(({ rule, fired, what }) => [rule, fired, what]),
    ),
    '',
    ...tableLines(['FEATURE', 'OWNER', 'BYTES A KEY AT MOST'], costRows(costs)),
    '',
    ...tableLines(
      ['PLAN', 'RECORDS', 'PARTS', 'LISTS', 'BYTES AT MOST'],
      ['without rules', 'as compiled'].map((name, i) => [name, ...sizes[i]!]),
    ),
    ...unreadText(unread),
  ]
}

/** The dearest first; what is computed when it is read costs nothing. */
function costRows(costs: readonly FeatureCost[]): (string | number)[][] {
  const kept = costs.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
  return kept.map(({ feature, owner, bytes }) => [feature, owner, Math.round(bytes)])
}

function partLines({ what, readBy }: ExplainedPart): string[] {
  return [`  ${what}`, `    ${readBy.join(', ')}`]
}

function durationText(ms: number): string {
  const minutes = ms / 60_000
  if (ms % DAY_MS === 0) return `${ms / DAY_MS} d`
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`
}

export interface CheckReport {
  readonly features: number
  readonly entities: number
  readonly duplicates: readonly Duplicate[]
}

export function checkedText({ features, entities, duplicates }: CheckReport): string[] {
  const of = `${counted(features, 'feature')} of ${entities} entities: no faults`
  return duplicates.length === 0 ? [of] : [of, 'declared more than once:', ...duplicatesText(duplicates)]
}

/** Of names that would change their meaning. */
export function refusedText(refused: Compatibility['refused']): string[] {
  return refused.flatMap(({ name, changes, touches }) => [
    ...changes.map(({ of, from, to }) => `refused  ${name}: ${of} was ${from}, would be ${to}`),
    ...(touches.length === 0 ? [] : [`         of it is derived ${touches.join(', ')}`]),
  ])
}

export function compatibilityText({ added, removed, refused }: Compatibility): string[] {
  return [
    ...added.map((id) => `added    ${id} (absent before, not 0)`),
    ...removed.map((id) => `removed  ${id}`),
    ...refusedText(refused),
    refused.length === 0 ? 'compatible' : 'not compatible',
  ]
}
