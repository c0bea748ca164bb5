// The last minutes of events per second, as lines. The same numbers stand as text in the totals.
// EC1: colours come from the style sheet, and are looked up again when light and dark change.

import { type ComponentChild, h } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { HISTORY_S, type Point } from './rates.ts'
import { shortText } from './text.ts'

const HEIGHT_PX = 260
const AXIS_WIDTH_PX = 56
/** Events a second at the top of the scale when less happens: a single event is then no peak. */
const SCALE_MIN = 10
/** Share of the height that stays free above the highest peak. */
const SCALE_HEADROOM = 1.1

const SERIES = [
  { label: 'accepted', color: '--accepted', dash: [] },
  { label: 'duplicates', color: '--duplicates', dash: [6, 4] },
  { label: 'dead letters', color: '--dead-letters', dash: [2, 3] },
]

export function EventChart({ history }: { readonly history: readonly Point[] }): ComponentChild {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  useEffect(() => {
    const made = new uPlot(options(box.current!.clientWidth), columns(history), box.current!)
    plot.current = made
    const resized = new ResizeObserver(() => made.setSize({ width: box.current!.clientWidth, height: HEIGHT_PX }))
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
  useEffect(() => plot.current?.setData(columns(history)), [history])
  return h('section', { class: 'card chart', 'aria-labelledby': 'chart-title' }, [
    h('h2', { id: 'chart-title' }, 'Events per second, last 5 minutes'),
    h(
      'ul',
      { class: 'legend' },
      SERIES.map(({ label, color }) => h('li', { class: color.slice(2) }, label)),
    ),
    h('div', {
      ref: box,
      role: 'img',
      'aria-label': 'Lines of events accepted, duplicates and dead letters per second',
    }),
  ])
}

function columns(history: readonly Point[]): uPlot.AlignedData {
  return [
    history.map(({ atS }) => atS),
    history.map(({ events }) => events?.accepted ?? null),
    history.map(({ events }) => events?.duplicates ?? null),
    history.map(({ events }) => events?.deadLetters ?? null),
  ]
}

function options(width: number): uPlot.Options {
  const axis = {
    stroke: () => colorOf('--muted'),
    grid: { stroke: () => colorOf('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    ...{ width, height: HEIGHT_PX, legend: { show: false }, cursor: { show: false } },
    scales: {
      x: { time: true, range: (_, _min, last) => [(last ?? 0) - HISTORY_S, last ?? 0] },
      y: { range: (_, _min, highest) => [0, Math.max(SCALE_MIN, (highest ?? 0) * SCALE_HEADROOM)] },
    },
    axes: [
      { ...axis, incrs: [60], values: (_, splits) => splits.map(minuteText) },
      { ...axis, size: AXIS_WIDTH_PX, values: (_, splits) => splits.map(shortText) },
    ],
    series: [
      {},
      ...SERIES.map(({ label, color, dash }) => ({
        ...{ label, dash, width: 2, points: { show: false }, stroke: () => colorOf(color) },
      })),
    ],
  }
}

const MINUTE = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const minuteText = (atS: number): string => MINUTE.format(atS * 1_000)

const colorOf = (variable: string): string => getComputedStyle(document.documentElement).getPropertyValue(variable)
