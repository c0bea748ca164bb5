// The compiled plan as one picture: events once, the stages that they go to, the records of each with their parts and lists, and the
// features that are read of those; below, what each rule did, and the sizes of the plan with and without rules.
// PP1: nothing in it overlaps: every column has its width and every line its row, and a text that is longer than its place is cut
//      and whole in its tooltip.
// PP2: it is one file that asks nobody for anything: no script, no font, no address; its texts are texts and escaped; colours
//      follow the reader's light or dark.

import type { ExplainedGroup, FeatureExplanation } from './explanation.ts'

const ROW = 18
const PAD = 10
const TOP = 64
const GAP = 26
/** From the left: the event stream, stages, records, features that are kept, features that are computed. */
const COLUMNS = [
  { x: 20, width: 120 },
  { x: 200, width: 250 },
  { x: 510, width: 400 },
  { x: 1_000, width: 290 },
  { x: 1_360, width: 260 },
] as const
const [SOURCE, STAGES, RECORDS, KEPT, COMPUTED] = COLUMNS
const WIDTH = COMPUTED.x + COMPUTED.width + 20
/** Of a letter of 12 px, generously: fonts differ. */
const LETTER = 6.8

const STYLE = `
  :root { --back: #fff; --text: #1c2321; --muted: #5b6662; --box: #f3f5f4; --line: #b9c2be; --accent: #1f6f5c; color-scheme: light dark }
  @media (prefers-color-scheme: dark) {
    :root { --back: #131816; --text: #e6ebe9; --muted: #9aa6a1; --box: #1d2421; --line: #46514c; --accent: #66c2a8 }
  }
  svg { background: var(--back) }
  text { font: 12px system-ui, sans-serif; fill: var(--text) }
  .muted { fill: var(--muted) } .title { font-weight: 600 } .large { font-size: 17px; font-weight: 600 }
  rect { fill: var(--box); stroke: var(--line) } rect.kept { stroke: var(--accent) }
  path { fill: none; stroke: var(--line) } path.main { stroke: var(--accent); stroke-width: 1.5 }`

/** A picture under way: what was drawn, lines first so that boxes lie over them. */
class Picture {
  readonly #lines: string[] = []
  readonly #boxes: string[] = []

  box({ x, width }: Column, y: number, rows: number, name = ''): void {
    this.#boxes.push(`<rect class="${name}" x="${x}" y="${y}" width="${width}" height="${heightOf(rows)}" rx="6"/>`)
  }

  /** In the `row`-th line of a box that begins at y. */
  text({ x, width }: Column, y: number, row: number, text: string, name = ''): void {
    const fits = Math.floor((width - 2 * PAD) / LETTER)
    const cut = text.length > fits ? `${text.slice(0, fits - 1)}…` : text
    const whole = cut === text ? '' : `<title>${escaped(text)}</title>`
    const place = `x="${x + PAD}" y="${rowAt(y, row) + 4}"`
    this.#boxes.push(`<text class="${name}" ${place}>${escaped(cut)}${whole}</text>`)
  }

  line(from: Column, fromY: number, to: Column, toY: number, name = ''): void {
    const x = from.x + from.width
    const middle = (x + to.x) / 2
    this.#lines.push(`<path class="${name}" d="M${x} ${fromY}C${middle} ${fromY} ${middle} ${toY} ${to.x} ${toY}"/>`)
  }

  svg(title: string, height: number): string {
    const size = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-labelledby="plan-title">`,
      `<title id="plan-title">${escaped(title)}</title><style>${STYLE}</style>`,
      ...this.#lines,
      ...this.#boxes,
      '</svg>\n',
    ].join('\n')
  }
}

type Column = (typeof COLUMNS)[number]
const heightOf = (rows: number): number => rows * ROW + PAD
/** The middle of a line of a box. */
const rowAt = (y: number, row: number): number => y + PAD / 2 + row * ROW + ROW / 2

/** What XML has no place for is replaced; what has a meaning there is spelt out. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text
    .toWellFormed()
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"]/g, (character) => entities[character]!)
}

/** The plan as SVG. */
export function planPicture(explanation: FeatureExplanation): string {
  const { features, sources, groups } = explanation
  const picture = new Picture()
  const title = `${features} features, ${groups.length} records, each event type read once`
  picture.text({ x: SOURCE.x - PAD, width: WIDTH } as Column, 14, 0, title, 'large')
  let y = TOP
  const stageMiddles = sources.map((source) => {
    const begin = y
    const middles = groups
      .filter(({ partition }) => partition === source.partition)
      .map((group) => {
        const { height, middle } = drawGroup(picture, group, explanation, y)
        y += height + GAP
        return middle
      })
    const stageY = begin + (y - GAP - begin) / 2 - heightOf(4) / 2
    picture.box(STAGES, stageY, 4)
    picture.text(STAGES, stageY, 0, `by ${source.partition}`, 'title')
    picture.text(STAGES, stageY, 1, source.from === 'source' ? 'where events come in' : 'over one hop', 'muted')
    picture.text(STAGES, stageY, 2, source.types.join(', '))
    picture.text(STAGES, stageY, 3, `${source.columns.length} fields: ${source.columns.join(', ')}`, 'muted')
    const middle = stageY + heightOf(4) / 2
    for (const to of middles) picture.line(STAGES, middle, RECORDS, to, 'main')
    return middle
  })
  y += drawContext(picture, explanation, y)
  const sourceMiddle = (TOP + y - GAP) / 2
  picture.box(SOURCE, sourceMiddle - heightOf(2) / 2, 2)
  picture.text(SOURCE, sourceMiddle - heightOf(2) / 2, 0, 'events', 'title')
  picture.text(SOURCE, sourceMiddle - heightOf(2) / 2, 1, 'read once', 'muted')
  for (const middle of stageMiddles) picture.line(SOURCE, sourceMiddle, STAGES, middle, 'main')
  return picture.svg(title, drawRules(picture, explanation, y))
}

/** A record with its parts, the features of it that are kept, and those that are computed of them. */
function drawGroup(
  picture: Picture,
  { entity, key, bytes, partsRead, listsRead }: ExplainedGroup,
  { computed }: FeatureExplanation,
  y: number,
): { readonly height: number; readonly middle: number } {
  const parts = [...partsRead, ...listsRead]
  const kept = [...new Set(parts.flatMap(({ readBy }) => readBy))]
  const own = computed.filter(({ needs }) => needs.some((id) => id.startsWith(`${entity}.`)))
  const rowOfKept = new Map(kept.map((id, row) => [id, row]))
  const rows = Math.max(parts.length + 2, kept.length, own.length)
  picture.box(RECORDS, y, parts.length + 2, 'kept')
  picture.text(RECORDS, y, 0, `${entity}, by ${key}`, 'title')
  picture.text(RECORDS, y, 1, `one record, ${bytes.toLocaleString('en-US')} bytes at most`, 'muted')
  parts.forEach(({ what, readBy }, i) => {
    picture.text(RECORDS, y, i + 2, what)
    for (const id of readBy) picture.line(RECORDS, rowAt(y, i + 2), KEPT, rowAt(y, rowOfKept.get(id)!))
  })
  if (kept.length > 0) picture.box(KEPT, y, kept.length)
  kept.forEach((id, row) => {
    picture.text(KEPT, y, row, id)
  })
  if (own.length > 0) picture.box(COMPUTED, y, own.length)
  own.forEach(({ feature, needs }, row) => {
    picture.text(COMPUTED, y, row, feature)
    for (const from of needs.flatMap((id) => rowOfKept.get(id) ?? []))
      picture.line(KEPT, rowAt(y, from), COMPUTED, rowAt(y, row))
  })
  return { height: heightOf(rows), middle: rowAt(y, 0) }
}

/** Features of the touch itself, of which nothing is kept. Gives the height with the gap below. */
function drawContext(picture: Picture, { computed }: FeatureExplanation, y: number): number {
  const own = computed.filter(({ needs }) => needs.length === 0)
  if (own.length === 0) return 0
  picture.box(COMPUTED, y, own.length)
  own.forEach(({ feature }, i) => {
    picture.text(COMPUTED, y, i, feature)
  })
  return heightOf(own.length) + GAP
}

/** What the rules did, and what it would be without. Gives the height of the whole. */
function drawRules(picture: Picture, { rules, before, after }: FeatureExplanation, y: number): number {
  const left = { x: SOURCE.x, width: RECORDS.x + RECORDS.width - SOURCE.x } as Column
  const right = { x: KEPT.x, width: COMPUTED.x + COMPUTED.width - KEPT.x } as Column
  picture.text(left, y, 0, 'What the rules did', 'title')
  rules.forEach(({ rule, fired, what }, i) => {
    picture.text(left, y, i + 1, `${rule}, ${fired} times: ${what}`)
  })
  picture.text(right, y, 0, 'The plan', 'title')
  const n = (count: number): string => Math.round(count).toLocaleString('en-US')
  for (const [i, [name, { records, parts, lists, bytes }]] of (
    [
      ['without rules', before],
      ['as compiled', after],
    ] as const
  ).entries())
    picture.text(
      right,
      y,
      i + 1,
      `${name}: ${n(records)} records, ${n(parts)} parts, ${n(lists)} lists, ${n(bytes)} bytes at most`,
    )
  return y + heightOf(rules.length + 1) + GAP
}
