// The report on a run's files: what is judged and what is only counted, the baselines, slices, the picture; and what is refused.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { figuresOf } from '../../ml/evaluation.ts'
import { hashNumber } from '../../ml/hash.ts'
import { sigmoid } from '../../ml/logistic.ts'
import { evaluateCommand } from './evaluate-command.ts'
import type { JudgedWindow } from './judged-window.ts'
import { readScores } from './score-lines.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const START_MS = Date.UTC(2026, 0, 1)
const TOUCHES = 1_200
/** Conversions expected of each that converts; it has one. */
const COUNT = 1.25
const u = (i: number, of: number): number => ((hashNumber(i, of) >>> 0) + 0.5) / 2 ** 32
const dir = mkdtempSync(join(tmpdir(), 'holdfast-evaluate-'))
const file = (name: string) => join(dir, name)

interface Made {
  readonly id: string
  readonly advertiser: string
  readonly at: number
  readonly p: number
  readonly y: 0 | 1
  readonly version: string
}

/** Touches of four days, every tenth scored by the fallback, one in fifty not at all; the second advertiser sells four times as much. */
const made = Array.from({ length: TOUCHES }, (_, i): Made => {
  const advertiser = i % 3 === 0 ? 'bank' : 'shop'
  const p = sigmoid(-2.5 + (advertiser === 'shop' ? 1.4 : 0) + 2 * (u(i, 1) - 0.5))
  const version = i % 10 === 0 ? '0' : i < TOUCHES / 2 ? '1' : '2'
  const at = START_MS + Math.floor((i / TOUCHES) * 4 * DAY)
  return { id: `t${i}`, advertiser, at, p: Number(Math.fround(p).toPrecision(9)), y: u(i, 2) < p ? 1 : 0, version }
})
const isScored = (i: number) => i % 50 !== 7
const judged = made.filter(({ version }, i) => version !== '0' && isScored(i))

/** A score of no window, but for what is said. */
const scoreLine = (said: object): string =>
  JSON.stringify({ event_id: 'a', user_id: 'u', model_version: '1', p: {}, expected: {}, ...said })

const lines = (all: readonly object[]) => all.map((one) => `${JSON.stringify(one)}\n`).join('')

beforeAll(() => {
  const event = ({ id, advertiser, at }: Made) => ({
    ...{ event_id: id, type: 'click', event_time: at, user_id: `u-${id}`, click_id: id },
    ...{ advertiser_id: advertiser, campaign_id: 'c', ad_id: 'a' },
  })
  const label = ({ id, at, y }: Made, kind: 'O' | 'M') => ({
    ...{ row_id: '', touch_id: id, user_id: `u-${id}`, touch_time: at, window: '7d_click', kind },
    ...{ y, count: y, value: 0, complete: true },
  })
  const score = ({ id, p, version }: Made) => ({
    ...{ event_id: id, user_id: `u-${id}`, model_version: version, fingerprint: '' },
    ...{ p: { '7d_click': p }, expected: { '7d_click': COUNT * p } },
  })
  const shadowed = (one: Made) => ({
    ...score(one),
    shadows: [{ ...score({ ...one, p: one.p / 2 }), model_version: 'ab'.repeat(32) }],
  })
  writeFileSync(file('events.ndjson'), lines(made.map(event)))
  writeFileSync(file('labels.ndjson'), lines(made.flatMap((one) => [label(one, 'O'), label(one, 'M')])))
  writeFileSync(file('scores.ndjson'), lines(made.filter((_, i) => isScored(i)).map(score)))
  writeFileSync(file('shadowed.ndjson'), lines(made.filter((_, i) => isScored(i)).map(shadowed)))
  writeFileSync(file('attributions.ndjson'), '')
})
afterAll(() => rmSync(dir, { recursive: true }))

async function evaluate(...args: string[]): Promise<string> {
  const program = new Command().exitOverride()
  evaluateCommand(program)
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    await program.parseAsync(['evaluate', dir, '--touches', file('events.ndjson'), ...args], { from: 'user' })
    return write.mock.calls.map(([text]) => String(text)).join('')
  } finally {
    write.mockRestore()
  }
}

const judgedBy = async (...args: string[]): Promise<JudgedWindow> =>
  (JSON.parse(await evaluate('--json', ...args)) as { windows: JudgedWindow[] }).windows[0]!

const exact = (some: readonly Made[]) =>
  figuresOf({ p: Float64Array.from(some, ({ p }) => p), y: Uint8Array.from(some, ({ y }) => y) })

describe('a report', () => {
  it('judges what the model served, counts the rest, and stands beside a rate and a counter', async () => {
    const { window, comparison, touches } = await judgedBy()
    expect(window).toBe('7d_click')
    const fallback = made.filter(({ version }, i) => version === '0' && isScored(i)).length
    expect(touches).toEqual({ judged: judged.length, fallback, unscored: TOUCHES - judged.length - fallback })
    expect(comparison.models.map(({ name }) => name)).toEqual(['base-rate', 'counter', 'served'])
    const [rate, counter, served] = comparison.models
    expect(served).toMatchObject(exact(judged))
    expect(served!.countCalibration).toBeCloseTo(COUNT * served!.calibration, 9)
    // Who says the rate of what it has seen is near 1; a counter for each advertiser knows half of the truth.
    expect(Math.abs(rate!.normalisedEntropy - 1)).toBeLessThan(0.03)
    expect(served!.normalisedEntropy).toBeLessThan(counter!.normalisedEntropy)
    const { value, interval } = served!.relative!
    expect(value).toBeCloseTo(served!.normalisedEntropy / counter!.normalisedEntropy, 9)
    expect(interval.low < value && value < interval.high).toBe(true)
  })

  it('tells versions, advertisers and types, each with its intervals; none of them is the fallback', async () => {
    const { slices } = await judgedBy()
    for (const by of ['version', 'advertiser'] as const) {
      for (const { id, intervals, ...figures } of slices[by]) {
        expect(figures).toEqual(exact(judged.filter((one) => one[by] === id)))
        const { low, high } = intervals.calibration
        expect(low < figures.calibration && figures.calibration < high).toBe(true)
      }
    }
    expect(slices.version.map(({ id }) => id).sort()).toEqual(['1', '2'])
    expect(slices.advertiser.map(({ id }) => id)).toEqual(['shop', 'bank'])
    expect(slices.type).toMatchObject([{ id: 'click', rows: judged.length }])
  })

  it('judges the later part, and what is left out of the rest as well', async () => {
    const { comparison, touches } = await judgedBy('--judge-after', '50')
    expect(touches.judged).toBe(judged.filter(({ at }) => at >= made[TOUCHES / 2]!.at).length)
    expect(comparison.fromMs).toBeGreaterThanOrEqual(made[TOUCHES / 2]!.at)
    expect(touches.judged + touches.fallback + touches.unscored).toBe(TOUCHES / 2)
  })

  it('compares shadows on the same touches', async () => {
    const { comparison } = await judgedBy('--scores', file('shadowed.ndjson'))
    const [served, shadow] = comparison.models.slice(-2)
    expect([served!.name, shadow!.name]).toEqual(['served', 'shadow abababababab'])
    expect(shadow!.calibration).toBeCloseTo(served!.calibration / 2, 6)
    expect(shadow!.auc).toBe(served!.auc)
  })

  it('prints tables, and draws three charts of each window', async () => {
    const text = await evaluate('--svg', file('scores.svg'))
    expect(text).toMatch(/^7d_click\njudged on [\d,]+ touches from 2026-01-01T/)
    expect(text).toMatch(/\nserved +0\.\d{4} +0\.\d{4} to /)
    expect(text).toMatch(/\nnot judged: 1\d\d that the fallback scored, \d+ without a score\n/)
    expect(text).toMatch(/\nserved, by version of the model\nversion +touches +converted +NE/)
    expect(text).toMatch(/\nserved, by advertiser\n/)
    // One type is no slice.
    expect(text).not.toContain('by type')
    const svg = readFileSync(file('scores.svg'), 'utf8')
    expect(svg.match(/<g transform/g)).toHaveLength(3)
    expect(svg).toContain('by what was promised')
    expect(svg.match(/<title>2026-01-0[1-4]: /g)).toHaveLength(8)
  })
})

describe('of a window', () => {
  const rates = () =>
    readFileSync(file('scores.ndjson'), 'utf8').replaceAll(/"model_version":"[12]"/g, '"model_version":"0"')

  it('in which no model has answered the rates are not judged in its place', async () => {
    writeFileSync(file('rates.ndjson'), rates())
    const scored = made.filter((_, i) => isScored(i)).length
    await expect(evaluate('--scores', file('rates.ndjson'))).rejects.toThrow(
      `7d_click: of ${TOUCHES} touches the fallback scored ${scored}, nothing the others: no model is judged`,
    )
  })

  it('that was not seen to its end that is said, beside the others', async () => {
    const more = readFileSync(file('labels.ndjson'), 'utf8').replaceAll('7d_click', '1d_click')
    const open = more.replaceAll('"complete":true', '"complete":false')
    writeFileSync(file('both.ndjson'), readFileSync(file('labels.ndjson'), 'utf8') + open)
    writeFileSync(
      file('twice.ndjson'),
      readFileSync(file('scores.ndjson'), 'utf8').replaceAll(/"(p|expected)":{/g, '$&"1d_click":0.1,'),
    )
    const program = new Command().exitOverride()
    evaluateCommand(program)
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const args = ['evaluate', file('both.ndjson'), '--scores', file('twice.ndjson'), '--touches', file('events.ndjson')]
    await program.parseAsync([...args, '--json'], { from: 'user' })
    const { windows, missing } = JSON.parse(String(write.mock.calls[0]![0])) as {
      windows: JudgedWindow[]
      missing: string[]
    }
    write.mockRestore()
    expect(windows.map(({ window }) => window)).toEqual(['7d_click'])
    expect(missing).toEqual([expect.stringContaining('1d_click: no touch is complete')])
  })
})

describe('is refused', () => {
  it.each([
    ['a window of which nothing was said', ['--window', '1d_click'], /nothing was said of 1d_click; of 7d_click/],
    ['a share that is none', ['--judge-after', '100'], /--judge-after/],
    ['a picture that cannot be written', ['--svg', '/nowhere/x.svg'], /cannot write \/nowhere\/x\.svg/],
  ])('%s', async (_, args, why) => {
    await expect(evaluate(...args)).rejects.toThrow(why)
  })

  it.each([
    ['no object', '[]'],
    ['no score', '{"event_id":"a","user_id":"u","p":{}}'],
    ['no probability', scoreLine({ p: { '7d_click': 1.5 }, expected: { '7d_click': 1.5 } })],
    ['less than one conversion of whoever converts', scoreLine({ p: { w: 0.5 }, expected: { w: 0.4 } })],
    ['a probability without a count', scoreLine({ p: { w: 0.5 } })],
    ['no list of shadows', scoreLine({ shadows: true })],
    ['no shadow', scoreLine({ shadows: [{ p: {}, expected: {} }] })],
  ])('a line that is %s, with its number', async (_, line) => {
    const bad = file('bad.ndjson')
    writeFileSync(bad, `${scoreLine({ user_id: null })}\n${line}\n`)
    await expect(readScores(bad)).rejects.toThrow(/bad\.ndjson, line 2: it is no score/)
  })

  it('a second score of a touch, and more scores than fit', async () => {
    const bad = file('bad.ndjson')
    const one = scoreLine({ p: { '7d_click': 0.5 }, expected: { '7d_click': 0.5 } })
    writeFileSync(bad, `${one}\n${one}\n`)
    await expect(readScores(bad)).rejects.toThrow(/line 2: a second score of touch a/)
    const shadow = { model_version: 'ab', p: {}, expected: {} }
    writeFileSync(bad, scoreLine({ shadows: [shadow, shadow] }))
    await expect(readScores(bad)).rejects.toThrow(/line 1: a second score of touch a/)
    await expect(readScores(file('scores.ndjson'), 10)).rejects.toThrow(/line 11: more than 10 scores/)
  })

  it('a run without the touches, and one that is not there', async () => {
    const program = new Command().exitOverride()
    evaluateCommand(program)
    const run = (...args: string[]) => program.parseAsync(['evaluate', ...args], { from: 'user' })
    await expect(run(dir)).rejects.toThrow(/vectors\.ndjson: --touches names the events that the run read/)
    await expect(run(file('nothing'))).rejects.toThrow(/there is no /)
  })
})
