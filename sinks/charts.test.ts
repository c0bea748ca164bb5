// Where marks stand, that none leaves its box, and what is said of them.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Box, type Chart, calibrationChart, type DayFigure, dayChart, percentText } from './charts.ts'

const BOX: Box = { width: 400, height: 300, left: 50, right: 10, top: 20, bottom: 30 }
const [LEFT, RIGHT, TOP, BOTTOM] = [50, 390, 20, 270]

function expectInside({ marks, xTicks, yTicks, reference }: Chart): void {
  const xs = [...marks.map(({ x }) => x), ...xTicks.map(({ at }) => at), reference.x1, reference.x2]
  const ys = [
    ...marks.flatMap(({ y, low, high }) => [y, low, high]),
    ...yTicks.map(({ at }) => at),
    reference.y1,
    reference.y2,
  ]
  for (const x of xs) expect(x >= LEFT && x <= RIGHT).toBe(true)
  for (const y of ys) expect(y >= TOP && y <= BOTTOM).toBe(true)
}

const rated = (p: number, rate: number) => ({
  p,
  rate,
  low: rate / 2,
  high: Math.min(1, 2 * rate),
  touches: 100,
  positives: 100 * rate,
})

it('what is promised and comes stands on the diagonal, in whole decades', () => {
  const chart = calibrationChart([rated(0.01, 0.01), rated(0.1, 0.05)], BOX)
  expect(chart.xTicks).toEqual([
    { at: LEFT, text: '1 %' },
    { at: RIGHT, text: '10 %' },
  ])
  expect(chart.reference).toEqual({ x1: LEFT, y1: BOTTOM, x2: RIGHT, y2: TOP })
  const [right, less] = chart.marks
  expect([right!.x, right!.y]).toEqual([LEFT, BOTTOM])
  expect(less!.x).toBe(RIGHT)
  // log10(0.05 / 0.01) of the height above the bottom
  expect(less!.y).toBeCloseTo(BOTTOM - 250 * Math.log10(5), 1)
  expect(less!.title).toBe('10 % promised, 5 % came: 5 of 100 touches, 2.5 % to 10 %')
  // What never came is at the edge.
  expect(calibrationChart([rated(0.01, 0)], BOX).marks[0]!.y).toBe(BOTTOM)
  expectInside(calibrationChart([], BOX))
})

const day = (value: number | null, more: Partial<DayFigure> = {}): DayFigure => ({
  ...{ day: '2026-03-29', value, isOpen: false },
  ...more,
})

it('days stand side by side, with a line through those that follow one another', () => {
  const chart = dayChart([day(0.9), day(null), day(0.8, { low: 0.75, high: 0.86 }), day(0.7, { isOpen: true })], BOX)
  const [first, second, third] = chart.marks
  expect(chart.marks.map(({ x }) => x)).toEqual([92.5, 262.5, 347.5])
  expect(chart.line).toBe(`M${first!.x} ${first!.y}M${second!.x} ${second!.y}L${third!.x} ${third!.y}`)
  expect([second!.title, third!.title]).toEqual([
    '2026-03-29: 0.800, 0.750 to 0.860',
    '2026-03-29: 0.700, windows are open',
  ])
  expect(chart.yTicks.map(({ text }) => text)).toEqual(['0.7', '0.8', '0.9', '1.0', '1.1'])
  expect(chart.reference.y1).toBe(chart.yTicks[3]!.at)
  expect(chart.xTicks.map(({ text }) => text)).toEqual(['03-29', '03-29', '03-29', '03-29'])
})

it('nothing is drawn outside of its box, whatever the figures', () => {
  const p = fc.double({ min: 1e-9, max: 1, noNaN: true })
  const point = fc.tuple(p, fc.oneof(fc.constant(0), p)).map(([of, rate]) => rated(of, rate))
  const figure = fc.option(fc.double({ min: 0, max: 50, noNaN: true }))
  const days = fc.array(
    fc.tuple(figure, figure).map(([value, high]) => day(value, { low: 0, high })),
    { maxLength: 130 },
  )
  fc.assert(
    fc.property(fc.array(point, { maxLength: 20 }), days, (points, figures) => {
      expectInside(calibrationChart(points, BOX))
      const chart = dayChart(figures, BOX)
      expectInside(chart)
      expect(chart.yTicks.length).toBeLessThan(9)
      expect(chart.xTicks.length).toBeLessThanOrEqual(6)
    }),
  )
})

it('rates have two digits', () => {
  expect([0.000_123, 0.024, 0.5, 1].map(percentText)).toEqual(['0.012 %', '2.4 %', '50 %', '100 %'])
})
