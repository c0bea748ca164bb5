// The live view on a terminal that remembers its rows, as a real one does: what a person sees after each drawing.

import type { WriteStream } from 'node:tty'
import { describe, expect, it } from 'vitest'
import { LiveView, lineOf, type Seen, screenOf } from './live-view.ts'

const URL = 'http://127.0.0.1:8080'
const ROOMY = { columns: 200, rows: 50 }

/** Rows of a screen under the two escapes that the view uses: so many lines up, and clear from here on. */
class Terminal {
  readonly columns: number
  readonly rows: number
  readonly isTTY: boolean
  readonly lines: string[] = ['']

  constructor({ columns, rows, isTTY = true }: { columns: number; rows: number; isTTY?: boolean }) {
    this.columns = columns
    this.rows = rows
    this.isTTY = isTTY
  }

  write(text: string): boolean {
    for (const part of text.split(/(\x1b\[\d+A\x1b\[J|\n)/)) {
      const up = /\[(\d+)A/.exec(part)
      if (up !== null) this.lines.splice(this.lines.length - 1 - Number(up[1]), Number(up[1]) + 1, '')
      else if (part === '\n') this.lines.push('')
      else for (let at = 0; at < part.length; at += this.columns) this.#put(part.slice(at, at + this.columns))
    }
    return true
  }

  /** What is wider than the terminal goes on in the next row. */
  #put(text: string): void {
    if (this.lines.at(-1) !== '') this.lines.push('')
    this.lines[this.lines.length - 1] = text
  }
}

const view = (terminal: Terminal) => new LiveView(URL, terminal as unknown as WriteStream)

function seen(accepted: number, nowMs: number, pages = ['home', 'cart']): Seen {
  const counts = { accepted, conversions: 3, duplicates: 2, dead_letters: 1 }
  const task = {
    name: 'user-1-0',
    phase: 'running',
    pending: 7,
    lag_ms: 1_500,
    readable_ms: null,
    waiting: null,
    counts,
  }
  const values = pages.map((key, i) => ({ key, value: 1_000 - i, snapshot: 0 }))
  const top = { feature: 'page_views_1h', entity: 'page', values, snapshots: [{ as_of: 0 }], complete: true }
  return { status: { now_ms: nowMs, tasks: [task], model: null }, tops: [top, top] } as unknown as Seen
}

it('says which model scores, and that it is too old', () => {
  const { status, tops } = seen(100, 1_000)
  const model = { version: 7, activation: 9, age_ms: 3 * 86_400_000, stale: true, refused: { parent: 2 } }
  const line = 'model        version 7, published 3 d ago, which is too old · 2 published and refused'
  expect(screenOf({ tops, status: { ...status, model } }, 0, URL)).toContain(line)
  const none = { ...status, model: { version: 0, activation: 0, age_ms: null, stale: false, refused: {} } }
  expect(screenOf({ tops, status: none }, 0, URL)).toContain('model        no version is live: rates answer')
})

it('says where the most viewed pages are none of the features of the node', () => {
  const without: Seen = { ...seen(100, 1_000), tops: [] }
  expect(screenOf(without, 0, URL)).toContain('the most viewed pages are not among the features of this node')
  expect(lineOf(without, 0)).toContain('no page viewed')
})

describe('on a terminal', () => {
  it('is drawn again in its place; what is said stays above it', () => {
    const terminal = new Terminal(ROOMY)
    const live = view(terminal)
    live.say('before')
    live.draw(seen(100, 1_000))
    live.draw(seen(150, 2_000))
    const screen = screenOf(seen(150, 2_000), 50, URL)
    expect(terminal.lines).toEqual(['before', ...screen, ''])
    expect(screen.join('\n')).toContain('rate         50 events/s')
    live.say('a line that stays')
    live.draw(seen(150, 3_000))
    expect(terminal.lines.slice(0, 3)).toEqual(['before', 'a line that stays', ''])
    expect(terminal.lines.filter((line) => line.includes('Holdfast at work'))).toHaveLength(1)
  })

  it('the last view stays when something is said after it', () => {
    const terminal = new Terminal(ROOMY)
    const live = view(terminal)
    live.draw(seen(100, 1_000))
    live.leave(seen(100, 1_000))
    live.say('stopping')
    expect(terminal.lines.at(-2)).toBe('stopping')
    expect(terminal.lines.join('\n')).toContain('100 accepted')
  })

  it('fits one that is narrow and low: no line wraps, and none has scrolled away', () => {
    const terminal = new Terminal({ columns: 20, rows: 6 })
    const live = view(terminal)
    for (const accepted of [100, 150, 200]) live.draw(seen(accepted, 10 * accepted, ['p'.repeat(128)]))
    expect(terminal.lines).toHaveLength(6)
    expect(terminal.lines.every((line) => line.length < 20)).toBe(true)
    expect(terminal.lines[3]).toBe('events       200 ac')
  })
})

it('in a pipe there is a line now and then, and the whole view at the end', () => {
  const pipe = new Terminal({ ...ROOMY, isTTY: false })
  const live = view(pipe)
  live.draw(seen(100, 1_000))
  live.draw(seen(150, 2_000))
  expect(pipe.lines).toEqual([lineOf(seen(100, 1_000), 0), ''])
  live.leave(seen(150, 3_000))
  expect(pipe.lines.slice(1)).toEqual([...screenOf(seen(150, 3_000), 0, URL), ''])
})
