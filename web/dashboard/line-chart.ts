// The last minutes of something as lines. The same numbers stand as text elsewhere on the page.
// EC1: colours come from the style sheet, and are looked up again when light and dark change.

import { type ComponentChild, h } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { HISTORY_S, type Point } from './rates.ts'
import { shortText } from './text.ts'

const AXIS_WIDTH_PX = 56
const AXIS_HEIGHT_PX = 30
/** Seconds at first: who has just come sees lines, not a corner of them. Then it grows to HISTORY_S. */
const FIRST_S = 60
/** At the top of the scale when less happens: a single event is then no peak. */
const SCALE_MIN = 10
/** Share of the height that stays free above the highest peak. */
const SCALE_HEADROOM = 1.1

export interface Series {
  readonly label: string
  /** A variable of the style sheet; without the dashes a class of its legend. */
  readonly color: '--accepted' | '--duplicates' | '--dead-letters'
  readonly dash: number[]
  /** null: nobody knows. */
  readonly of: (point: Point) => number | null
}

interface LineChartProps {
  readonly id: string
  readonly title: string
  /** The same for as long as the chart is there. */
  readonly series: readonly Series[]
  readonly history: readonly Point[]
}

export function LineChart({ id, title, series, history }: LineChartProps): ComponentChild {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  useEffect(() => {
    const made = new uPlot(options(series, sizeOf(box.current!)), columns(series, history), box.current!)
    plot.current = made
    const resized = new ResizeObserver(() => made.setSize(sizeOf(box.current!)))
    resized.observe(box.current!)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const redraw = () => made.redraw()
    dark.addEventListener('change', redraw)
    return () => {
      dark.removeEventListener('change', redraw)
      resized.disconnect()
      made.destroy()
    }
  }, [])
  useEffect(() => plot.current?.setData(columns(series, history)), [history])
  return h('section', { class: 'card chart', 'aria-labelledby': id }, [
    h('h2', { id }, title),
    h(
      'ul',
      { class: 'legend' },
      series.map(({ label, color }) => h('li', { class: color.slice(2) }, label)),
    ),
    h('div', {
      ref: box,
      class: 'plot',
      role: 'img',
      'aria-label': `${title}: lines of ${series.map(({ label }) => label).join(', ')}`,
    }),
  ])
}

function columns(series: readonly Series[], history: readonly Point[]): uPlot.AlignedData {
  return [history.map(({ atS }) => atS), ...series.map(({ of }) => history.map(of))]
}

const sizeOf = ({ clientWidth, clientHeight }: HTMLElement) => ({ width: clientWidth, height: clientHeight })

function options(series: readonly Series[], size: { readonly width: number; readonly height: number }): uPlot.Options {
  const axis = {
    stroke: () => colorOf('--muted'),
    grid: { stroke: () => colorOf('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    ...{ ...size, legend: { show: false }, cursor: { show: false } },
    scales: {
      x: { time: true, range: (_, first, last) => [last - Math.max(FIRST_S, Math.min(HISTORY_S, last - first)), last] },
      y: { range: (_, _min, highest) => [0, Math.max(SCALE_MIN, (highest ?? 0) * SCALE_HEADROOM)] },
    },
    axes: [
      { ...axis, size: AXIS_HEIGHT_PX, incrs: [30, 60], values: (_, splits) => splits.map(clockText) },
      { ...axis, size: AXIS_WIDTH_PX, values: (_, splits) => splits.map(shortText) },
    ],
    series: [
      {},
      ...series.map(({ label, color, dash }) => ({
        ...{ label, dash, width: 2, points: { show: false }, stroke: () => colorOf(color) },
      })),
    ],
  }
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const clockText = (atS: number): string => CLOCK.format(atS * 1_000)

const colorOf = (variable: string): string => getComputedStyle(document.documentElement).getPropertyValue(variable)
