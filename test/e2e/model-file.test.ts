// From label rows to a model file: `holdfast train --onnx` writes what `holdfast model show` finds sound, and nothing else is.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Random } from '../../cli/generate/random.ts'
import { predictorOf } from '../../cli/train/comparison.ts'
import { loadParts } from '../../ml/models.ts'
import { Rows } from '../../ml/rows.ts'
import { type FactValue, FEATURES_RELEASE, touchKeys } from '../../ml/touch-features.ts'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { GOLDEN_ERROR_MAX } from '../../topology/models/onnx-model.ts'
import { soundModel } from '../models/sound-model.ts'
import { holdfast, resultsIn, workDirectory } from './command.ts'
import { convertingClicks } from './converting-clicks.ts'

const HOUR = 3_600_000
const T = 1_750_000_000_000
const TOUCHES = 40

it('train writes a file that show finds sound; another, or a part of one, is refused', async () => {
  await using dir = await workDirectory()
  const { labels, touches } = convertingClicks(dir.path, TOUCHES)
  const onnx = join(dir.path, 'model.onnx')
  const trained = await holdfast(['train', labels, '--touches', touches, '--onnx', onnx])
  expect([trained.code, trained.stderr.match(/holdfast: .*/)?.[0]]).toEqual([0, undefined])
  const [, sha256] = /SHA-256 ([0-9a-f]{64})/.exec(trained.stderr)!
  const shown = await holdfast(['model', 'show', onnx, '--json', '--sha256', sha256!])
  expect(JSON.parse(shown.stdout)).toMatchObject({
    ...{ windows: [{ name: '7d_click', click: [0], impression: null }], learned: TOUCHES, version: 0, parent: 0 },
    fallback: { base: [TOUCHES, expect.any(Number)] },
  })
  const cut = join(dir.path, 'cut.onnx')
  writeFileSync(cut, readFileSync(onnx).subarray(0, 1_000))
  const refused = await holdfast(['model', 'show', cut])
  expect([refused.code, refused.stdout]).toEqual([2, ''])
  expect(refused.stderr).toMatch(/MODEL_REFUSED: it is no ONNX file of Holdfast/)
})

it('only what can be written is', async () => {
  await using dir = await workDirectory()
  const { labels, touches } = convertingClicks(dir.path, TOUCHES)
  const onnx = join(dir.path, 'model.onnx')
  const refused = await holdfast(['train', labels, '--touches', touches, '--model', 'counter', '--onnx', onnx])
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(/--onnx writes ftrl, not counter/)
  expect(existsSync(onnx)).toBe(false)
})

type Said = Pick<Score, 'model_version' | 'p' | 'expected'>
interface Score {
  readonly event_id: string
  readonly user_id: string | null
  readonly model_version: string
  readonly p: Readonly<Record<string, number>>
  readonly expected: Readonly<Record<string, number>>
  readonly shadows?: readonly Said[]
}
type Json = Readonly<Record<string, never>>

const linesOf = <T>(text: string): T[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T)
const WINDOW = '7d_click'

/** Two days of clicks and impressions of ten people, some of whom buy; one click twice, one of nobody. */
function eventLines(): string[] {
  const random = new Random(7)
  const lines: object[] = []
  for (let i = 0; i < 300; i++) {
    const [at, user] = [T + i * 600_000, `u${random.below(10)}`]
    const ad = random.below(6)
    const who = { event_time: at, user_id: user, device: 'mobile', advertiser_id: `adv${ad % 2}` }
    const touch = { ...who, campaign_id: `c${ad % 3}`, ad_id: `ad${ad}` }
    if (i % 3 === 0) lines.push({ type: 'impression', event_id: `i${i}`, impression_id: `i${i}`, ...touch })
    else lines.push({ type: 'click', event_id: `k${i}`, click_id: `k${i}`, ...touch })
    if (i === 40) lines.push(lines.at(-1)!, { ...lines.at(-1)!, event_id: 'nobody', user_id: undefined })
    if (ad === 0 && i % 2 === 0)
      lines.push({
        type: 'conversion',
        event_id: `b${i}`,
        order_id: `o${i}`,
        ...who,
        event_time: at + 300_000,
        value: 9,
      })
  }
  return lines.map((line) => JSON.stringify(line))
}

/** What the model of a file, in double, says of touches: how probably they convert, and how often. */
function taughtBy(file: string): (touch: Json, values: Readonly<Record<string, FactValue>>) => [number, number] | null {
  const { graceMs } = ATTRIBUTION_DEFAULT
  const { learner, calibration, counts, parts } = predictorOf('ftrl', 'elapsed-time', 7 * 24 * HOUR + graceMs)
  const about = { window: WINDOW, goal: undefined, policy: learner.policy, featuresRelease: FEATURES_RELEASE }
  loadParts(readFileSync(file), about, parts)
  return (touch, values) => {
    const rows = new Rows()
    const facts = {
      advertiser: touch.advertiser_id!,
      campaign: touch.campaign_id!,
      ad: touch.ad_id!,
      type: touch.type!,
    }
    rows.push(touchKeys({ ...facts, timeMs: touch.event_time! }, values))
    // Of an impression, which has no credit in the window, nothing is said.
    if (touch.type !== 'click') return null
    const p = calibration.apply(learner.score(rows, 0))
    return [p, counts.expect(rows, 0, p)]
  }
}

/** What a run leaves but for what it says of models. */
function withoutScores({ summary, ...files }: Record<string, string>) {
  const { scores, scores_fallback, models_published, models_refused, config, ...others } = JSON.parse(summary!)
  const { 'scores.ndjson': _, 'models.ndjson': __, ...unscored } = files
  return { ...unscored, summary: others }
}

it.each([
  ['of what touches say', []],
  ['of what touches say, beside features of ads', ['--features', 'application']],
  ['of vectors as well', ['--features', 'application', '--vectors', 'all']],
] as const)('run --model scores every accepted click and impression once, %s', async (_, features) => {
  await using dir = await workDirectory()
  const at = (name: string) => join(dir.path, name)
  writeFileSync(at('events.ndjson'), eventLines().join('\n'))
  const run = async (out: string, ...args: string[]) => {
    const common = ['run', '--json', '--drain', '--input', at('events.ndjson'), '--out', at(out), ...features]
    const { code, stderr } = await holdfast([...common, ...args])
    expect([code, stderr]).toEqual([0, ''])
    return resultsIn(at(out))
  }
  const unscored = withoutScores(await run('first', '--no-scoring'))
  const hasVectors = features.includes('--vectors' as never)
  const touches = !hasVectors ? at('events.ndjson') : at('first/vectors.ndjson')
  const files = ['--out', at('model.hf'), '--onnx', at('model.onnx')]
  const trained = await holdfast(['train', at('first/labels.ndjson'), '--incomplete', '--touches', touches, ...files])
  expect([trained.code, /holdfast: .*/.exec(trained.stderr)?.[0]]).toEqual([0, undefined])
  // Whoever is scored is held, credited and labelled as ever, and so is everybody else.
  const scoredOnes = await run('scored', '--model', at('model.onnx'), '--partitions', '3', '--slice-records', '7')
  expect(withoutScores(scoredOnes)).toEqual(unscored)
  expect(withoutScores(await run('learned', '--partitions', '2'))).toEqual(unscored)
  const scores = linesOf<Score>(readFileSync(at('scored/scores.ndjson'), 'utf8'))

  const say = taughtBy(at('model.hf'))
  const told = new Map<string, [number, number] | null>()
  for (const line of linesOf<Json>(readFileSync(touches, 'utf8')))
    if (line.type === 'click' || line.type === 'impression')
      if (!told.has(`${line.user_id} ${line.event_id}`))
        told.set(`${line.user_id} ${line.event_id}`, say(line, line.values ?? {}))
  let scored = 0
  for (const { event_id, user_id, p, expected, model_version } of scores) {
    const must = told.get(`${user_id} ${event_id}`)!
    for (const [i, said] of [p, expected].entries()) {
      expect(Math.abs((said[WINDOW] ?? 0) - (must?.[i] ?? 0))).toBeLessThan(GOLDEN_ERROR_MAX)
      expect(Object.keys(said)).toEqual(must === null ? [] : [WINDOW])
    }
    expect(model_version).toMatch(/^[0-9a-f]{64}$/)
    scored++
  }
  const labelled = new Set(
    linesOf<Json>(readFileSync(at('first/labels.ndjson'), 'utf8')).map(
      ({ user_id, touch_id }) => `${user_id} ${touch_id}`,
    ),
  )
  expect(scored).toBe(300)
  for (const touch of labelled)
    expect(scores.some(({ user_id, event_id }) => `${user_id} ${event_id}` === touch)).toBe(true)

  if (features.length > 0) return
  await run('again', '--model', at('model.onnx'), '--data-dir', at('data'))
  expect(readFileSync(at('again/scores.ndjson'), 'utf8')).toBe(readFileSync(at('scored/scores.ndjson'), 'utf8'))
  expect((await holdfast(['audit', '--data-dir', at('data')])).code).toBe(0)
  const other = await holdfast([
    'run',
    '--drain',
    '--input',
    at('events.ndjson'),
    '--out',
    at('o'),
    '--data-dir',
    at('data'),
    '--no-scoring',
  ])
  expect(other.code).toBe(2)
  expect(other.stderr).toMatch(/was scored by another model, or by none/)
})

it('run --shadow says what a file would say, and changes nothing else; what cannot be a shadow is refused', async () => {
  await using dir = await workDirectory()
  const at = (name: string) => join(dir.path, name)
  writeFileSync(at('events.ndjson'), eventLines().join('\n'))
  const [first, second] = [1, 2].map((version) => {
    writeFileSync(at(`${version}.onnx`), soundModel(version))
    return at(`${version}.onnx`)
  }) as [string, string]
  const common = ['run', '--json', '--drain', '--input', at('events.ndjson')]
  const run = async (out: string, ...args: string[]) => {
    const { code, stderr } = await holdfast([...common, '--out', at(out), ...args])
    expect([code, stderr]).toEqual([0, ''])
    const lines = linesOf<Score>(readFileSync(at(`${out}/scores.ndjson`), 'utf8'))
    const alone = lines.map(({ shadows, ...served }) => JSON.stringify(served)).sort()
    const { 'scores.ndjson': _, ...results } = resultsIn(at(out))
    return { results, lines, alone, models: existsSync(at(`${out}/models.ndjson`)) }
  }
  const beside = ['--shadow', first, '--shadow', second]
  const [plain, shadowed, served] = await Promise.all([
    run('plain'),
    run('shadowed', ...beside, '--partitions', '3', '--slice-records', '7'),
    run('served', '--model', second, '--shadow', first, '--data-dir', at('data')),
  ])
  expect([shadowed.results, shadowed.alone, shadowed.models]).toEqual([plain.results, plain.alone, true])
  expect(plain.lines.every(({ shadows }) => shadows === undefined)).toBe(true)
  const byTouch = (lines: readonly Score[], of: (line: Score) => unknown): Map<string, unknown> =>
    new Map(lines.map((line) => [`${line.user_id} ${line.event_id}`, of(line)]))
  const said = ({ model_version, p, expected }: Said): Said => ({ model_version, p, expected })
  expect(shadowed.lines.length).toBe(300)
  expect(byTouch(shadowed.lines, ({ shadows }) => shadows![1])).toEqual(byTouch(served.lines, said))
  expect(byTouch(shadowed.lines, ({ shadows }) => [shadows![0]])).toEqual(
    byTouch(served.lines, ({ shadows }) => shadows),
  )
  expect(shadowed.lines.some(({ shadows: [one, other] = [] }) => one!.p[WINDOW] !== other!.p[WINDOW])).toBe(true)

  expect((await holdfast(['audit', '--data-dir', at('data')])).code).toBe(0)
  writeFileSync(at('cut.onnx'), readFileSync(first).subarray(0, 1_000))
  writeFileSync(at('off.json'), '{"scoring": "off"}')
  const refusals: [string[], RegExp][] = [
    [['--model', second, '--data-dir', at('data')], /has other shadows; use another --data-dir/],
    [['--shadow', at('cut.onnx')], /MODEL_REFUSED: it is no ONNX file of Holdfast/],
    [['--shadow', at('nothing.onnx')], /MODEL_REFUSED: there is no such file/],
    [['--config', at('off.json'), ...beside], /^holdfast: a shadow stands beside what scores, and nothing does\n$/],
  ]
  const refused = await Promise.all(refusals.map(([args]) => holdfast([...common, '--out', at('none'), ...args])))
  for (const [i, { code, stderr }] of refused.entries()) {
    expect(stderr).toMatch(refusals[i]![1])
    expect(code).toBe(2)
  }
  expect(existsSync(at('none'))).toBe(false)
})
