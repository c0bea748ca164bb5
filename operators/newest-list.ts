// What came last of something: a few values in the order of (event time, type, event_id), as bytes until somebody needs them.
// NL1: a list is a function of the set of its events and of the watermarks at which the key was touched.
// The windows of a key are in operators/tiles.ts.

import { compareUtf8 } from '../state/key-layout.ts'
import { ByteReader, type ByteWriter, corrupt } from './bytes.ts'
import type { EventType } from './event.ts'

export interface ListEntry {
  readonly time: number
  readonly type: EventType
  readonly id: string
  readonly value: string | number
}

/** How a list is kept. `types`: of the events in it, by which bytes name them. */
export interface ListSpec {
  readonly types: readonly EventType[]
  readonly length: number
  /** How long a value is kept, milliseconds. */
  readonly keptMs: number
}

const TEXT = 0
const NUMBER = 1

export class NewestList {
  readonly #spec: ListSpec
  /** The oldest first; null: still bytes. */
  #entries: ListEntry[] | null
  readonly #bytes: Uint8Array
  #oldestMs: number

  private constructor(spec: ListSpec, entries: ListEntry[] | null, bytes: Uint8Array, oldestMs: number) {
    this.#spec = spec
    this.#entries = entries
    this.#bytes = bytes
    this.#oldestMs = oldestMs
  }

  static empty(spec: ListSpec): NewestList {
    return new NewestList(spec, [], NO_BYTES, Number.POSITIVE_INFINITY)
  }

  get isEmpty(): boolean {
    return this.#entries?.length === 0
  }

  /** The newest first. */
  newestFirst(): ListEntry[] {
    return [...this.#read()].reverse()
  }

  /** Puts a value in its place, and drops one if they are too many. */
  add(entry: ListEntry): void {
    const entries = this.#read()
    let at = entries.length
    while (at > 0 && isNewer(entries[at - 1]!, entry)) at--
    entries.splice(at, 0, entry)
    if (entries.length > this.#spec.length) entries.shift()
    this.#oldestMs = entries[0]!.time
  }

  /** Drops what is too old at a time. */
  settle(nowMs: number): void {
    if (this.#oldestMs + this.#spec.keptMs >= nowMs) return
    const entries = this.#read()
    while (entries.length > 0 && entries[0]!.time + this.#spec.keptMs < nowMs) entries.shift()
    this.#oldestMs = entries[0]?.time ?? Number.POSITIVE_INFINITY
  }

  /** Bytes: distance of the oldest from `newestMs`, then of each (type, id, value, distance to the next). */
  write(writer: ByteWriter, newestMs: number): void {
    writer.sized(() => {
      if (this.isEmpty) return
      writer.varint(newestMs - this.#oldestMs)
      if (this.#entries === null) writer.bytes(this.#bytes)
      else this.#writeEntries(writer, this.#entries)
    })
  }

  static read(reader: ByteReader, spec: ListSpec, newestMs: number): NewestList {
    const own = new ByteReader(reader.sized())
    if (own.atEnd) return NewestList.empty(spec)
    const oldestMs = newestMs - own.varint()
    if (own.atEnd) throw corrupt('a list has no values')
    return new NewestList(spec, null, own.rest(), oldestMs)
  }

  #writeEntries(writer: ByteWriter, entries: readonly ListEntry[]): void {
    let before: number | null = null
    for (const { time, type, id, value } of entries) {
      if (before !== null) writer.varint(time - before)
      before = time
      writer.varint(this.#spec.types.indexOf(type))
      writer.text(id)
      writer.varint(typeof value === 'string' ? TEXT : NUMBER)
      writer.text(typeof value === 'string' ? value : JSON.stringify(value))
    }
  }

  #read(): ListEntry[] {
    if (this.#entries !== null) return this.#entries
    const reader = new ByteReader(this.#bytes)
    const entries: ListEntry[] = []
    for (let time = this.#oldestMs; ; time += reader.varint()) {
      const type = this.#spec.types[reader.varint()]
      if (type === undefined) throw corrupt('a list has a type that the plan does not have')
      const [id, kind, text] = [reader.text(), reader.varint(), reader.text()]
      entries.push({ time, type, id, value: kind === TEXT ? text : Number(text) })
      if (reader.atEnd) break
    }
    this.#entries = entries
    return entries
  }
}

const NO_BYTES = new Uint8Array(0)

function isNewer(a: ListEntry, b: ListEntry): boolean {
  if (a.time !== b.time) return a.time > b.time
  return (compareUtf8(a.type, b.type) || compareUtf8(a.id, b.id)) > 0
}
