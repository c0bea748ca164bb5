// Two charts as plain shapes, for whoever draws them: how rates follow probabilities, and a figure day by day. The page draws them with
// its own colours (web/dashboard/model-view.ts), a report as a file (cli/evaluation-picture.ts).
// CH1: what is known of few touches has a long bar, what is not known has no mark; nothing is drawn outside of its box.

export interface Box {
  readonly width: number
  readonly height: number
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

export interface Tick {
  readonly at: number
  readonly text: string
}

/** A dot with the range in which it may be, in the units of the box. */
export interface Mark {
  readonly x: number
  readonly y: number
  readonly low: number
  readonly high: number
  /** Of a window that is open. */
  readonly isOpen: boolean
  readonly title: string
}

export interface Chart {
  readonly box: Box
  readonly xTicks: readonly Tick[]
  readonly yTicks: readonly Tick[]
  /** What would be right. */
  readonly reference: { readonly x1: number; readonly y1: number; readonly x2: number; readonly y2: number }
  /** Through marks that follow one another, as the path of a line; empty where marks are not joined. */
  readonly line: string
  readonly marks: readonly Mark[]
}

interface Rated {
  readonly p: number
  readonly rate: number
  readonly low: number
  readonly high: number
  readonly touches: number
  readonly positives: number
}

/** Below this a rate is drawn at the edge: the logarithm has no zero. */
const RATE_MIN = 1e-5

/** Both axes are the same and logarithmic; on the diagonal what is promised comes. */
export function calibrationChart(points: readonly Rated[], box: Box): Chart {
  const known = points.flatMap(({ p, rate }) => [p, rate]).filter((one) => one > 0)
  const least = Math.max(RATE_MIN, Math.min(1, ...known))
  const from = Math.min(Math.floor(Math.log10(least)), -1)
  const to = Math.max(from + 1, Math.min(0, Math.ceil(Math.log10(Math.max(least, ...known)))))
  const share = (rate: number): number =>
    Math.min(Math.max((Math.log10(Math.max(rate, RATE_MIN)) - from) / (to - from), 0), 1)
  const [x, y] = [scaleX(box), scaleY(box)]
  const decades = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  return {
    box,
    xTicks: decades.map((rate) => ({ at: x(share(rate)), text: percentText(rate) })),
    yTicks: decades.map((rate) => ({ at: y(share(rate)), text: percentText(rate) })),
    reference: { x1: x(0), y1: y(0), x2: x(1), y2: y(1) },
    line: '',
    marks: points.map(({ p, rate, low, high, touches, positives }) => ({
      ...{ x: x(share(p)), y: y(share(rate)), low: y(share(low)), high: y(share(high)), isOpen: false },
      title: `${percentText(p)} promised, ${percentText(rate)} came: ${positives} of ${touches} touches, ${percentText(low)} to ${percentText(high)}`,
    })),
  }
}

export interface DayFigure {
  /** A date. */
  readonly day: string
  /** null: there is none. */
  readonly value: number | null
  /** Not given: it has no range. */
  readonly low?: number | null
  readonly high?: number | null
  readonly isOpen: boolean
}

/** Dates that have room below. */
const DATES_MAX = 6
/** Of a date, where all are of one year or two. */
const MONTH_AND_DAY = 5
/** A figure beyond this would make all others one line: it is drawn at the edge. */
const FIGURE_MAX = 3
/** Of a tick: what is so near to one stands on it. */
const SLACK = 1e-9

/** A figure by day, with a line at 1: of calibration what is right, of normalised entropy who always says the rate. */
export function dayChart(days: readonly DayFigure[], box: Box): Chart {
  const values = days.flatMap(({ value, low, high }) => [value, low, high].filter((one) => one != null))
  const top = Math.min(FIGURE_MAX, Math.max(1, ...values) * 1.05)
  const least = Math.min(1, ...values)
  // In whole ticks: tenths are none of a double's.
  const perUnit = top - least > 1 ? 2 : top - least > 0.4 ? 5 : 10
  const [first, last] = [Math.max(0, Math.floor(least * perUnit + SLACK)), Math.ceil(top * perUnit - SLACK)]
  const [x, y] = [scaleX(box), scaleY(box)]
  const atY = (value: number): number => y(Math.min(Math.max((value * perUnit - first) / (last - first), 0), 1))
  const atX = (i: number): number => x((i + 0.5) / Math.max(1, days.length))
  const every = Math.ceil(days.length / DATES_MAX)
  const marks = days.map(({ day, value, low, high, isOpen }, i): Mark | null => {
    if (value === null) return null
    const range = low == null || high == null ? '' : `, ${low.toFixed(3)} to ${high.toFixed(3)}`
    return {
      ...{ x: atX(i), y: atY(value), low: atY(low ?? value), high: atY(high ?? value), isOpen },
      title: `${day}: ${value.toFixed(3)}${range}${isOpen ? ', windows are open' : ''}`,
    }
  })
  return {
    box,
    xTicks: days.flatMap(({ day }, i) => (i % every === 0 ? [{ at: atX(i), text: day.slice(-MONTH_AND_DAY) }] : [])),
    yTicks: Array.from({ length: last - first + 1 }, (_, i) => {
      const value = (first + i) / perUnit
      return { at: atY(value), text: value.toFixed(1) }
    }),
    reference: { x1: x(0), y1: atY(1), x2: x(1), y2: atY(1) },
    line: pathOf(marks),
    marks: marks.filter((mark) => mark !== null),
  }
}

/** Interrupted where there is no mark. */
function pathOf(marks: readonly (Mark | null)[]): string {
  return marks
    .map((mark, i) => (mark === null ? '' : `${i === 0 || marks[i - 1] === null ? 'M' : 'L'}${mark.x} ${mark.y}`))
    .join('')
}

const round = (x: number): number => Math.round(x * 100) / 100
/** From a share of the axis to the box. */
const scaleX =
  ({ width, left, right }: Box) =>
  (share: number): number =>
    round(left + share * (width - left - right))
const scaleY =
  ({ height, top, bottom }: Box) =>
  (share: number): number =>
    round(height - bottom - share * (height - top - bottom))

/** `0.01 %`, `2.4 %`, `100 %` */
export function percentText(rate: number): string {
  return `${Number((100 * rate).toPrecision(2))} %`
}
