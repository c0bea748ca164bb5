// The memory that filters of seen ids may take in one task. They grow with the ids and must be whole to be right, so what does
// not fit cannot be evicted: the task halts before its process is killed for its size, and says the sum.
// FR1: never more is taken than there is; what expires is given back.

import { assert, HoldfastError } from '../log/errors.ts'

/** How much there is, and how that number came about. Plain data: it goes to the threads of tasks. */
export interface FilterRoom {
  readonly bytes: number
  /** In words, for whoever is refused. */
  readonly sum: string
}

/** For tests, and where nobody asks. */
export const UNBOUNDED: FilterRoom = { bytes: Number.POSITIVE_INFINITY, sum: 'no limit' }

export class FilterBudget {
  readonly #room: FilterRoom
  #taken = 0

  constructor(room: FilterRoom) {
    this.#room = room
  }

  get takenBytes(): number {
    return this.#taken
  }

  /** Throws FILTERS_FULL where that is more than is left. */
  take(bytes: number): void {
    const { bytes: room, sum } = this.#room
    if (this.#taken + bytes > room)
      throw new HoldfastError('FILTERS_FULL', `filters of seen ids need more than ${sum}`, {
        taken: this.#taken,
        next: bytes,
        room: Math.floor(room),
      })
    this.#taken += bytes
  }

  give(bytes: number): void {
    assert(bytes <= this.#taken, 'only what was taken is given back')
    this.#taken -= bytes
  }
}
