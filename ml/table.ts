// How large the table of a hashed model may be.

import { assert } from '../log/errors.ts'
import { PARAMETER_CELLS_MAX } from './parameters.ts'

/** Two cells for each place. */
export const TABLE_BITS_MAX = Math.log2(PARAMETER_CELLS_MAX / 2)

/** A table has at least a block of places and at most as many as parameters allow. */
export function checkTableBits(bits: number): void {
  assert(
    Number.isSafeInteger(bits) && bits >= 8 && bits <= TABLE_BITS_MAX,
    `a table has 2^8 to 2^${TABLE_BITS_MAX} places`,
  )
}
