// Lines of a generated file in the order in which they arrive, however far ahead they are planned.
//
// 1. Nothing is in the file before it has happened: a line's event_time is at most the time of its arrival. So the highest event_time
//    of the lines up to an arrival at A is at most A, and exactly A where a line that happened at A arrived.
// 2. Lines that are planned together stand together.
// Not here: what happens.

import type { Random } from '../../cli/generate/random.ts'

export type Fields = { readonly [name: string]: unknown }

interface Planned {
  readonly arrivesMs: number
  /** Order of planning, among those that arrive at one time. */
  readonly number: number
  readonly lines: readonly (Fields | Buffer)[]
}

/** A part of a file: about so many of its lines, over so much time. */
export interface Phase {
  readonly untilLine: number
  readonly untilMs: number
}

export class Timeline {
  nowMs: number
  readonly #random: Random
  readonly #planned: Planned[] = []
  #plannedLines = 0
  #number = 0

  constructor(random: Random, startMs: number) {
    this.#random = random
    this.nowMs = startMs
  }

  /** Lines that arrive one right after the other, at a time that is not over; a Buffer is a line as it is. */
  plan(arrivesMs: number, ...lines: readonly (Fields | Buffer)[]): void {
    const heap = this.#planned
    this.#plannedLines += lines.length
    heap.push({ arrivesMs: Math.max(arrivesMs, this.nowMs), number: this.#number++, lines })
    for (let at = heap.length - 1; at > 0; ) {
      const above = (at - 1) >> 1
      if (!isBefore(heap[at]!, heap[above]!)) return
      swap(heap, at, above)
      at = above
    }
  }

  /** All lines of a file, each with its line end: as many as the last phase says, or a few more if they stand together. */
  *lines(phases: readonly Phase[], happen: () => void): Generator<Buffer> {
    let count = 0
    for (const { untilLine, untilMs } of phases) {
      while (count + this.#plannedLines < untilLine) {
        const gapMs = Math.max(0, untilMs - this.nowMs) / (untilLine - count - this.#plannedLines)
        const nextMs = this.nowMs + Math.round(this.#random.wait(gapMs))
        for (const line of this.#arrived(nextMs)) {
          count++
          yield line
        }
        this.nowMs = nextMs
        happen()
      }
    }
    yield* this.#arrived(Number.POSITIVE_INFINITY)
  }

  *#arrived(byMs: number): Generator<Buffer> {
    while (this.#planned.length > 0 && this.#planned[0]!.arrivesMs <= byMs) {
      const { arrivesMs, lines } = this.#first()
      this.nowMs = arrivesMs
      this.#plannedLines -= lines.length
      for (const line of lines) yield line instanceof Buffer ? line : lineOf(line as Fields, arrivesMs)
    }
  }

  #first(): Planned {
    const heap = this.#planned
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    heap[0] = last
    for (let at = 0; ; ) {
      const below = [2 * at + 1, 2 * at + 2].filter((index) => index < heap.length)
      const least = below.reduce((best, index) => (isBefore(heap[index]!, heap[best]!) ? index : best), at)
      if (least === at) return first
      swap(heap, at, least)
      at = least
    }
  }
}

function lineOf(fields: Fields, arrivesMs: number): Buffer {
  if ((fields.event_time as number) > arrivesMs) throw new Error(`not happened yet: ${JSON.stringify(fields)}`)
  return Buffer.from(`${JSON.stringify(fields)}\n`)
}

const isBefore = (a: Planned, b: Planned): boolean =>
  a.arrivesMs < b.arrivesMs || (a.arrivesMs === b.arrivesMs && a.number < b.number)

function swap(heap: Planned[], a: number, b: number): void {
  const moved = heap[a]!
  heap[a] = heap[b]!
  heap[b] = moved
}
