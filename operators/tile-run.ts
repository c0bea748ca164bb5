// The tiles of one part that have one width, in ascending order of time: bytes, but for the newest few.
// TR1: what an event costs does not grow with the number of tiles: it is added to one that is open, older ones are sealed as bytes
//      that a commit copies and a read passes over. Only an event older than the open tiles opens sealed ones again.
// TR2: bytes are a function of the tiles, not of which of them are sealed.
// Which tiles there are, and when they go: operators/tiles.ts.

import { assert } from '../log/errors.ts'
import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import { copyOf, joined, type PartSpec, type PartState, readPart, skipPart, writePart } from './parts.ts'

/** Tiles kept open: events out of order, and those that another clock sends ahead, fall into the newest few. */
export const OPEN_TILES_MAX = 4
/** Sealed bytes grow by doubling. */
const SEALED_BYTES_FIRST = 32

export interface Tile {
  /** Which one, counted from 1970-01-01. */
  readonly pane: number
  /** Its own: nobody else changes it. */
  part: PartState
}

export class TileRun {
  /** Index into the slots of the plan. */
  readonly slot: number
  readonly #spec: PartSpec
  #firstPane: number
  /** Of each sealed tile its part and the distance to the next tile, from #from to #to; the rest is room. */
  #sealed: Uint8Array
  #from = 0
  #to: number
  /** null: not looked at yet, then #sealed ends with a tile that has no next one. */
  #open: Tile[] | null

  private constructor(slot: number, spec: PartSpec, firstPane: number, sealed: Uint8Array, open: Tile[] | null) {
    this.slot = slot
    this.#spec = spec
    this.#firstPane = firstPane
    this.#sealed = sealed
    this.#to = sealed.length
    this.#open = open
  }

  /** A run of one tile. Takes the part over. */
  static of(slot: number, spec: PartSpec, pane: number, part: PartState): TileRun {
    return new TileRun(slot, spec, pane, NO_BYTES, [{ pane, part }])
  }

  /** What `write` wrote. The bytes are not copied and not changed. */
  static from(slot: number, spec: PartSpec, firstPane: number, bytes: Uint8Array): TileRun {
    if (bytes.length === 0) throw corrupt('a run has no tile')
    return new TileRun(slot, spec, firstPane, bytes, null)
  }

  get firstPane(): number {
    return this.#firstPane
  }

  /** Adds to the tile of a pane. Takes the part over. */
  add(pane: number, part: PartState): void {
    const open = this.#opened()
    if (pane < open[0]!.pane && this.#from < this.#to) this.#unseal(pane)
    let at = open.length
    while (at > 0 && open[at - 1]!.pane > pane) at--
    const known = open[at - 1]
    if (known?.pane === pane) known.part = joined(this.#spec, known.part, part)
    else open.splice(at, 0, { pane, part })
    if (pane < this.#firstPane) this.#firstPane = pane
    while (open.length > OPEN_TILES_MAX) this.#seal(open.shift()!, open[0]!)
  }

  /** Takes the first tile out; the run goes if that was the only one (isEmpty). */
  takeFirst(): Tile {
    const open = this.#opened()
    if (this.#from === this.#to) {
      const first = open.shift()!
      if (open.length > 0) this.#firstPane = open[0]!.pane
      return first
    }
    const reader = this.#sealedReader()
    const first = { pane: this.#firstPane, part: readPart(this.#spec, reader) }
    this.#firstPane += reader.varint()
    this.#from += reader.at
    return first
  }

  /** All of them. Their parts are those of the run, or nobody's. */
  tiles(): Tile[] {
    const tiles: Tile[] = []
    this.#walk((pane, reader) => {
      tiles.push({ pane, part: readPart(this.#spec, reader) })
      return true
    })
    return [...tiles, ...(this.#open ?? [])]
  }

  get isEmpty(): boolean {
    return this.#open?.length === 0
  }

  /** The parts of the panes [from, end) joined to `sum`, which may be changed; undefined: there is none. */
  sum(from: number, end: number, sum: PartState | undefined): PartState | undefined {
    let whole = sum
    this.#walk((pane, reader) => {
      if (pane >= end) return false
      if (pane < from) skipPart(this.#spec, reader)
      else whole = this.#join(whole, readPart(this.#spec, reader))
      return true
    })
    for (const { pane, part } of this.#open ?? []) {
      if (pane >= from && pane < end) whole = whole === undefined ? copyOf(part) : this.#join(whole, part)
    }
    return whole
  }

  /** TR2: (part, distance to the next tile) one after the other, the last one without a distance. */
  write(writer: ByteWriter): void {
    writer.bytes(this.#sealed.subarray(this.#from, this.#to))
    this.#open?.forEach(({ pane, part }, i, { [i + 1]: next }) => {
      writePart(this.#spec, part, writer)
      if (next !== undefined) writer.varint(next.pane - pane)
    })
  }

  #join(to: PartState | undefined, from: PartState): PartState {
    return to === undefined ? from : joined(this.#spec, to, from)
  }

  #sealedReader(): ByteReader {
    return new ByteReader(this.#sealed.subarray(this.#from, this.#to))
  }

  /** Goes through the sealed tiles until `each`, which reads or skips its part, says false. */
  #walk(each: (pane: number, reader: ByteReader, at: number) => boolean): void {
    const reader = this.#sealedReader()
    let pane = this.#firstPane
    while (!reader.atEnd) {
      if (!each(pane, reader, reader.at)) return
      if (!reader.atEnd) pane += distance(reader)
    }
    if (this.#open !== null)
      assert(pane === this.#open[0]!.pane, 'the last sealed tile says where the first open one is')
  }

  /** The open tiles; of a run that was read, the last one. */
  #opened(): Tile[] {
    if (this.#open !== null) return this.#open
    let last = { pane: this.#firstPane, at: 0 }
    this.#walk((pane, reader, at) => {
      last = { pane, at }
      skipPart(this.#spec, reader)
      return true
    })
    const part = readPart(this.#spec, new ByteReader(this.#sealed.subarray(last.at)))
    this.#to = last.at
    // What follows are bytes of the store: they are no room.
    this.#sealed = this.#sealed.subarray(0, last.at)
    this.#open = [{ pane: last.pane, part }]
    return this.#open
  }

  #seal({ pane, part }: Tile, next: Tile): void {
    const writer = new ByteWriter()
    writePart(this.#spec, part, writer)
    writer.varint(next.pane - pane)
    const bytes = writer.done()
    if (this.#to + bytes.length > this.#sealed.length) {
      const kept = this.#sealed.subarray(this.#from, this.#to)
      const larger = new Uint8Array(Math.max(SEALED_BYTES_FIRST, 2 * (kept.length + bytes.length)))
      larger.set(kept)
      this.#sealed = larger
      this.#from = 0
      this.#to = kept.length
    }
    this.#sealed.set(bytes, this.#to)
    this.#to += bytes.length
  }

  /** Opens the sealed tiles from the last one at or before a pane: what is put in behind it changes its distance. */
  #unseal(pane: number): void {
    let from = 0
    this.#walk((at, reader, place) => {
      if (at > pane) return false
      from = place
      skipPart(this.#spec, reader)
      return true
    })
    const opened: Tile[] = []
    this.#walk((at, reader, place) => {
      if (place < from) skipPart(this.#spec, reader)
      else opened.push({ pane: at, part: readPart(this.#spec, reader) })
      return true
    })
    this.#open!.unshift(...opened)
    this.#to = this.#from + from
    // As in #opened.
    this.#sealed = this.#sealed.subarray(0, this.#to)
  }
}

const NO_BYTES = new Uint8Array(0)

function distance(reader: ByteReader): number {
  const panes = reader.varint()
  if (panes === 0) throw corrupt('two tiles have one place')
  return panes
}
