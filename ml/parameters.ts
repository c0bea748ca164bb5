// The state of a model: numbers in one array, cut into blocks, so that a keyed store can keep it and a commit writes only what changed.
// PA1: everything a model has learned is in these cells; with the settings they make an equal model, to the bit.
// PA2: a block is dirty from the first change of one of its cells until takeDirty tells of it.
// PA3: block 0 is the model's head (counters, bias); tables begin with block 1.

import { assert } from '../log/errors.ts'

/** 4 KiB: a row of 20 features then makes some 20 blocks dirty at most, and a table of 2^18 pairs has 1,024 of them. */
export const BLOCK_CELLS = 512
const CELL_BYTES = Float64Array.BYTES_PER_ELEMENT
export const BLOCK_BYTES = BLOCK_CELLS * CELL_BYTES
const BLOCK_SHIFT = Math.log2(BLOCK_CELLS)
/** 512 MiB: a table of 2^25 pairs. What is larger belongs on several machines. */
export const PARAMETER_CELLS_MAX = 2 ** 26

// Blocks are the array's bytes as they lie in memory; every platform that Node runs on here has this order.
assert(new Uint8Array(new Uint16Array([1]).buffer)[0] === 1, 'bytes of numbers are written in little-endian order')

export class Parameters {
  readonly cells: Float64Array
  /** By block: 1 where it changed. Who changes cells in a loop sets it there. */
  readonly dirty: Uint8Array
  readonly #bytes: Uint8Array

  /** `cells` beside the head. */
  constructor(cells: number) {
    const blocks = 1 + Math.ceil(cells / BLOCK_CELLS)
    assert(blocks * BLOCK_CELLS <= PARAMETER_CELLS_MAX + BLOCK_CELLS, 'a model has too many parameters')
    this.cells = new Float64Array(blocks * BLOCK_CELLS)
    this.dirty = new Uint8Array(blocks)
    this.#bytes = new Uint8Array(this.cells.buffer)
  }

  get blocks(): number {
    return this.dirty.length
  }

  set(cell: number, value: number): void {
    this.cells[cell] = value
    this.dirty[cell >>> BLOCK_SHIFT] = 1
  }

  add(cell: number, by: number): void {
    this.set(cell, this.cells[cell]! + by)
  }

  /** Numbers of the blocks that changed since this was last asked, rising. */
  takeDirty(): number[] {
    const changed: number[] = []
    for (let block = 0; block < this.dirty.length; block++) if (this.dirty[block] === 1) changed.push(block)
    this.dirty.fill(0)
    return changed
  }

  /** The bytes of a block: a copy. */
  read(block: number): Uint8Array {
    return this.#bytes.slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
  }

  /** Puts a block back; it does not become dirty by that. */
  write(block: number, bytes: Uint8Array): void {
    assert(block < this.blocks && bytes.length === BLOCK_BYTES, 'a block has its place and its length')
    this.#bytes.set(bytes, block * BLOCK_BYTES)
  }

  /** Whether a block holds nothing but zeros, as in a new model: files leave it out. */
  isBlank(block: number): boolean {
    const from = block * BLOCK_BYTES
    return this.#bytes.subarray(from, from + BLOCK_BYTES).every((byte) => byte === 0)
  }
}
