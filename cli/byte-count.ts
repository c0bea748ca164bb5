// Numbers of bytes as people write them: 512M, 2G. Binary units, as memory is counted.

import { HoldfastError } from '../log/errors.ts'

const UNITS = ['', 'K', 'M', 'G', 'T'] as const
const STEP = 1_024
/** More than any machine has; a typing error is larger. */
const BYTES_MAX = 2 ** 50

/** A commander parser of byte counts: 536870912, 512M, 0.5G. */
export function byteCount(option: string): (text: string) => number {
  return (text) => {
    const [, digits, unit] = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(text) ?? []
    const bytes = Math.round(Number(digits) * STEP ** UNITS.indexOf((unit ?? '') as (typeof UNITS)[number]))
    if (bytes >= 1 && bytes <= BYTES_MAX) return bytes
    throw new HoldfastError('USAGE', `${option} must be a number of bytes, like 536870912, 512M or 2G, not "${text}"`)
  }
}

/** In the largest unit that is not below one: 512 MiB. */
export function bytesText(bytes: number): string {
  const unit = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / Math.log2(STEP)))
  const value = bytes / STEP ** unit
  return unit === 0
    ? `${Math.round(value)} B`
    : `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${UNITS[unit]}iB`
}
