// What is still to come in the generated world, by the minute in which it comes.
// A1: take() gives a minute's items in the order of time, and those of one time in the order in which they were added.
// A2: minutes are taken in their order, and nothing is added to one that was taken: an item would be lost without a word.

import { assert } from '../../log/errors.ts'

export const MINUTE_MS = 60_000

export class Agenda<T extends { readonly atMs: number }> {
  readonly #minutes = new Map<number, T[]>()
  #next = 0

  /** Whether anything is to come. */
  get isEmpty(): boolean {
    return this.#minutes.size === 0
  }

  add(item: T): void {
    const minute = Math.floor(item.atMs / MINUTE_MS)
    assert(minute >= this.#next, 'an item for a minute that is over')
    const items = this.#minutes.get(minute)
    if (items === undefined) this.#minutes.set(minute, [item])
    else items.push(item)
  }

  /** The items of this minute; it is over with that. */
  take(minute: number): T[] {
    assert(minute >= this.#next, 'a minute taken twice')
    this.#next = minute + 1
    const items = this.#minutes.get(minute) ?? []
    this.#minutes.delete(minute)
    return items.sort((a, b) => a.atMs - b.atMs)
  }
}
