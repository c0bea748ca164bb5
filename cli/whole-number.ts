// Whole numbers as arguments of commands.

import { HoldfastError } from '../log/errors.ts'

/** A commander parser for whole numbers in a range. */
export function wholeNumber(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new HoldfastError('USAGE', `${option} must be a whole number from ${min} to ${max}, not "${text}"`)
  }
}
