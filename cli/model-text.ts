// What `holdfast model` prints: versions as a table, one in full, and what differs between two.

import { goldenRowsOf } from '../ml/onnx-export.ts'
import { formsIn, largestChanges, type ReadForm } from '../ml/onnx-forms.ts'
import type { ModelRecord } from '../operators/model-records.ts'
import { isPublished, type PublishedModel, type VersionActivation, verdictOn } from '../topology/model-registry.ts'
import { OnnxModel } from '../topology/models/onnx-model.ts'
import { tableLines } from './text-table.ts'

/** Of each window. */
const CHANGES_SHOWN = 8

/** Where a published version stands. */
export type Standing =
  | { readonly kind: 'live' | 'waits' | 'was live'; readonly activation: number; readonly since_ms: number | null }
  /** A node that runs makes it live at its next look. */
  | { readonly kind: 'next' }
  | { readonly kind: 'not live'; readonly why: string | null }

/** As JSON has a version. */
export type ListedModel = ModelRecord & { readonly standing?: Standing }

/** Records with where they stand. `activations`: of a registry, oldest first. `now`: milliseconds. */
export function listed(
  records: readonly ModelRecord[],
  activations: readonly VersionActivation[],
  now: number,
): ListedModel[] {
  const live = activations.findLast(({ from }) => from <= now)
  const newest = activations.at(-1) ?? null
  return records.map((record) =>
    isPublished(record) ? { ...record, standing: standingOf(record, { activations, live, newest }) } : record,
  )
}

interface Registered {
  readonly activations: readonly VersionActivation[]
  readonly live: VersionActivation | undefined
  readonly newest: VersionActivation | null
}

function standingOf(model: PublishedModel, { activations, live, newest }: Registered): Standing {
  const own = activations.findLast(({ body }) => body.version === model.version)
  if (own !== undefined) {
    const kind = own === live ? 'live' : live === undefined || own.activation > live.activation ? 'waits' : 'was live'
    const since = Math.max(own.from, own.storedMs ?? 0)
    return { kind, activation: own.activation, since_ms: since === 0 ? null : since }
  }
  const verdict = verdictOn(model, newest)
  if (verdict === 'activate') return { kind: 'next' }
  const why = verdict === 'parent' ? `its parent is ${model.parent}, not ${newest?.body.version ?? 0}` : null
  return { kind: 'not live', why }
}

/** As a table. Records without a standing are a run's, where each version holds by itself. */
export function listText(models: readonly ListedModel[]): string[] {
  const head = ['VERSION', 'PARENT', 'MADE AT', 'ROWS', 'POSITIVES', 'NE', 'CALIBRATION', '']
  const rows = models.map((model) => [
    isPublished(model) ? String(model.version) : '-',
    String(model.parent),
    new Date(model.at).toISOString(),
    model.rows.toLocaleString('en-US'),
    model.metrics.positives.toLocaleString('en-US'),
    rounded(model.metrics.normalisedEntropy),
    rounded(model.metrics.calibration),
    stateText(model),
  ])
  return tableLines(head, rows)
}

function stateText(model: ListedModel): string {
  if (!isPublished(model)) return `refused: ${model.reason}${model.detail === '' ? '' : ` (${model.detail})`}`
  const { standing, from } = model
  if (standing === undefined) return `from ${new Date(from).toISOString()}`
  if (standing.kind === 'next') return 'becomes live at the next look of a node'
  if (standing.kind === 'not live') return standing.why === null ? 'not live' : `not live: ${standing.why}`
  const since = standing.since_ms === null ? '' : ` ${new Date(standing.since_ms).toISOString()}`
  if (standing.kind === 'was live') return `was live from${since}`
  return standing.kind === 'live' ? `live since${since}` : `live from${since} on`
}

const rounded = (value: number | null): string => (value === null ? '-' : value.toFixed(4))

/** What a sound file is. */
export function modelText({ manifest, sha256 }: OnnxModel, length: number): string[] {
  const { windows, goal, features, bits, learned, version, parent, fallback, golden } = manifest
  const n = (value: number) => value.toLocaleString('en-US')
  const names = windows.map(({ name }) => name).join(', ')
  const rows: [string, string][] = [
    ['what', `probability that a touch converts within ${names}${goal === undefined ? '' : `, goal ${goal}`}`],
    ['version', version === 0 ? 'of a file' : `${version}, after ${parent}`],
    ['learned', `${n(learned)} rows`],
    ['table', `2^${bits} weights for each window`],
    ['features', `release ${features}`],
    ...windows.map(({ name, calibration: { a, b } }): [string, string] => ['calibration', `${name}: a ${a}, b ${b}`]),
    ['fallback', `rates of ${n(fallback.keys.length)} keys`],
    ['golden rows', `${golden.length}, as they are told, alone and together`],
    ['bytes', n(length)],
    ['SHA-256', sha256],
  ]
  return columns(rows)
}

const columns = (rows: readonly (readonly [string, string])[]): string[] =>
  rows.map(([name, value]) => `${name.padEnd(12)} ${value}`)

/** What a record says, for `show`. */
export function recordText(record: PublishedModel): string[] {
  const { at, rows, firstMs, lastMs, metrics } = record
  const time = (ms: number) => new Date(ms).toISOString()
  const facts: [string, string][] = [
    ['made at', time(at)],
    ['rows', `${rows.toLocaleString('en-US')}, from ${time(firstMs)} to ${time(lastMs)}`],
    [
      'judged on',
      `${metrics.touches.toLocaleString('en-US')} touches, ${metrics.positives.toLocaleString('en-US')} converted`,
    ],
    ['NE', rounded(metrics.normalisedEntropy)],
    ['calibration', rounded(metrics.calibration)],
    ['weight norm', metrics.weightNorm.toFixed(3)],
  ]
  return columns(facts)
}

/** A file that is compared, and what its record says of it, where it has one. */
export interface Compared {
  readonly name: string
  /** null: there is no such file. */
  readonly bytes: Uint8Array | null
  readonly record: PublishedModel | null
}

/** What differs between two sound files, as JSON. */
export interface Difference {
  readonly facts: readonly { readonly what: string; readonly before: unknown; readonly after: unknown }[]
  /** By window that both have: weights that changed most, by their places in the table (key modulo its size). */
  readonly weights: Readonly<Record<string, ReturnType<typeof largestChanges>>>
  /** Golden rows of both, by window that both have: what each says of them. */
  readonly golden: readonly GoldenDifference[]
}

export interface GoldenDifference {
  readonly of: string
  readonly row: number
  readonly window: string
  readonly before: number
  readonly after: number
}

/** Throws MODEL_REFUSED where a file is not sound. */
export async function differenceOf(before: Compared, after: Compared): Promise<Difference> {
  const old = await OnnxModel.load(before.bytes)
  const now = await OnnxModel.load(after.bytes).catch(async (refusal: unknown) => {
    await old.close()
    throw refusal
  })
  try {
    const [oldForms, newForms] = [formsIn(before.bytes!)!.forms, formsIn(after.bytes!)!.forms]
    const common = newForms.filter(({ name }) => oldForms.some((form) => form.name === name))
    const formOf = (forms: readonly ReadForm[], name: string) => forms.find((form) => form.name === name)!.form
    const weights = common.map(({ name, form }) => {
      const others = formOf(oldForms, name).weights
      const changes = others.length === form.weights.length ? largestChanges(others, form.weights, CHANGES_SHOWN) : []
      return [name, changes] as const
    })
    const names = common.map(({ name }) => name)
    return {
      facts: factsOf(before, old, oldForms, after, now, newForms).filter((fact) => fact.before !== fact.after),
      weights: Object.fromEntries(weights),
      golden: [
        ...(await goldenOf(before.name, old, old, now, names)),
        ...(await goldenOf(after.name, now, old, now, names)),
      ],
    }
  } finally {
    await old.close()
    await now.close()
  }
}

type Fact = Difference['facts'][number]

function factsOf(
  before: Compared,
  old: OnnxModel,
  oldForms: readonly ReadForm[],
  after: Compared,
  now: OnnxModel,
  newForms: readonly ReadForm[],
): Fact[] {
  const sides = [
    { ...before, manifest: old.manifest, sha256: old.sha256, forms: oldForms },
    { ...after, manifest: now.manifest, sha256: now.sha256, forms: newForms },
  ] as const
  type Side = (typeof sides)[number]
  const fact = (what: string, of: (side: Side) => unknown): Fact => {
    return { what, before: of(sides[0]) ?? null, after: of(sides[1]) ?? null }
  }
  const windows = new Set(sides.flatMap(({ forms }) => forms.map(({ name }) => name)))
  const inWindow = (side: Side, window: string) => side.forms.find(({ name }) => name === window)
  return [
    fact('SHA-256', ({ sha256 }) => sha256),
    fact('schema', ({ manifest }) => manifest.schema),
    fact('parent', ({ manifest }) => manifest.parent),
    fact('rows learned', ({ manifest }) => manifest.learned),
    fact('NE', ({ record }) => record?.metrics.normalisedEntropy),
    fact('calibration', ({ record }) => record?.metrics.calibration),
    fact('weight norm', ({ record }) => record?.metrics.weightNorm),
    fact('keys of the fallback', ({ manifest }) => manifest.fallback.keys.length),
    ...[...windows].flatMap((window) => [
      fact(`${window}: bias`, (side) => inWindow(side, window)?.form.bias),
      fact(`${window}: calibration a`, (side) => inWindow(side, window)?.calibration.a),
      fact(`${window}: calibration b`, (side) => inWindow(side, window)?.calibration.b),
    ]),
  ]
}

/** What both say of the golden rows of one. */
async function goldenOf(
  of: string,
  whose: OnnxModel,
  old: OnnxModel,
  now: OnnxModel,
  windows: readonly string[],
): Promise<GoldenDifference[]> {
  const { rows, kinds } = goldenRowsOf(whose.manifest)
  const said = await Promise.all([old, now].map(async (model) => ({ model, p: (await model.score(rows, kinds)).p })))
  const at = (side: number, row: number, window: string): number => {
    const { model, p } = said[side]!
    return p[row * model.windows + model.manifest.windows.findIndex(({ name }) => name === window)]!
  }
  return kinds.flatMap((_, row) =>
    windows.map((window) => ({ of, row, window, before: at(0, row, window), after: at(1, row, window) })),
  )
}

/** A difference as tables. */
export function differenceText({ facts, weights, golden }: Difference): string[] {
  const lines = facts.length === 0 ? ['equal'] : tableLines(['FACT', 'BEFORE', 'AFTER'], facts.map(factRow))
  for (const [window, changes] of Object.entries(weights)) {
    if (changes.length === 0) continue
    const rows = changes.map(({ place, before, after }) => [String(place), before.toFixed(6), after.toFixed(6)])
    lines.push('', `weights of ${window} that changed most`, ...tableLines(['PLACE', 'BEFORE', 'AFTER'], rows))
  }
  const rows = golden
    .filter(({ before, after }) => before !== after)
    .map(({ of, row, window, before, after }) => [of, String(row), window, before.toFixed(6), after.toFixed(6)])
  if (rows.length > 0)
    lines.push('', 'what they say of golden rows', ...tableLines(['OF', 'ROW', 'WINDOW', 'BEFORE', 'AFTER'], rows))
  return lines
}

const factRow = ({ what, before, after }: Fact): string[] => [what, text(before), text(after)]

const text = (value: unknown): string =>
  value === null ? '-' : typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(6) : String(value)
