// A task's counters and maxima (read, accepted, as_of, …): state like any other, committed with the position.

export interface TallyJson {
  readonly counts: Readonly<Record<string, number>>
  readonly highs: Readonly<Record<string, number>>
}

export class Tally {
  readonly #counts: Map<string, number>
  readonly #highs: Map<string, number>

  constructor(json: TallyJson = { counts: {}, highs: {} }) {
    this.#counts = new Map(Object.entries(json.counts))
    this.#highs = new Map(Object.entries(json.highs))
  }

  count(name: string, by = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + by)
  }

  highest(name: string, value: number): void {
    const before = this.#highs.get(name)
    if (before === undefined || value > before) this.#highs.set(name, value)
  }

  high(name: string): number | null {
    return this.#highs.get(name) ?? null
  }

  /** Names in a fixed order, so that equal tallies are equal bytes. */
  toJSON(): TallyJson {
    return { counts: sorted(this.#counts), highs: sorted(this.#highs) }
  }
}

function sorted(map: Map<string, number>): Record<string, number> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)))
}
