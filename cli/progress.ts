// Progress on a terminal (a bar) or in a pipe (a line every few seconds): rate, event time, time left. Always on stderr.

import { SingleBar } from 'cli-progress'

export interface Progress {
  /** Events counted so far by the tasks. */
  readonly processed: number
  readonly bytes: number
  readonly bytesTotal: number
  /** Highest event time so far, milliseconds. */
  readonly eventTimeMs: number | null
  readonly note: string
}

/** Milliseconds between two looks. */
const LOOK_MS = 200
/** Milliseconds between two lines where there is no terminal. */
const LINE_MS = 5_000

/** Shows progress until stop(); the numbers come from `look`. */
export class ProgressDisplay {
  readonly #look: () => Progress
  readonly #bar: SingleBar | null
  readonly #startedAt = performance.now()
  readonly #timer: NodeJS.Timeout
  #lastLineAt = performance.now()

  constructor(look: () => Progress, enabled: boolean) {
    this.#look = look
    this.#bar = enabled && process.stderr.isTTY ? makeBar() : null
    this.#bar?.start(100, 0, { text: '' })
    this.#timer = setInterval(() => this.#show(enabled), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#bar?.update(100, { text: this.#text() })
    this.#bar?.stop()
  }

  #show(enabled: boolean): void {
    const { bytes, bytesTotal } = this.#look()
    if (this.#bar !== null) this.#bar.update(bytesTotal === 0 ? 0 : (100 * bytes) / bytesTotal, { text: this.#text() })
    else if (enabled && performance.now() - this.#lastLineAt >= LINE_MS) {
      this.#lastLineAt = performance.now()
      process.stderr.write(`${this.#text()}\n`)
    }
  }

  #text(): string {
    const { processed, bytes, bytesTotal, eventTimeMs, note } = this.#look()
    const seconds = (performance.now() - this.#startedAt) / 1_000
    const share = bytesTotal === 0 ? 1 : bytes / bytesTotal
    const left = share > 0 && share < 1 ? ` · ${Math.ceil((seconds * (1 - share)) / share)} s left` : ''
    const time = eventTimeMs === null ? '' : ` · event time ${new Date(eventTimeMs).toISOString()}`
    const rate = Math.round(processed / Math.max(seconds, 0.001)).toLocaleString('en-US')
    return `${processed.toLocaleString('en-US')} events · ${rate}/s${time}${left}${note === '' ? '' : ` · ${note}`}`
  }
}

function makeBar(): SingleBar {
  return new SingleBar({
    format: '{bar} {percentage}% · {text}',
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    stream: process.stderr,
  })
}
