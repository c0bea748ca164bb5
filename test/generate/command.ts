// The command line of a generator of files: `--out FILE[.gz]`, and an option for each of its own, `--lateness-ms N` for latenessMs.
// Exit 2 and a line for what cannot be read or written.

import { parseArgs } from 'node:util'
import { writeFile } from '../../cli/generate/write-file.ts'

/** Writes what `linesOf` makes of the defaults and what the command line says otherwise. Switches are off by default. */
export async function generate<O extends { readonly [name in keyof O]: number | boolean }>(
  name: string,
  defaults: O,
  linesOf: (options: O) => Iterable<Buffer>,
): Promise<void> {
  try {
    const { out, ...given } = valuesOf(defaults)
    if (typeof out !== 'string') throw new Error('--out FILE is needed')
    const options = Object.keys(defaults).map((key) => [key, read(optionName(key), given[optionName(key)])])
    await writeFile(out, linesOf({ ...defaults, ...Object.fromEntries(options) }))
  } catch (error) {
    console.error(`${name}: ${(error as Error).message}`)
    process.exitCode = 2
  }
}

function valuesOf(defaults: object): { readonly [option: string]: unknown } {
  const options = Object.entries(defaults).map(([key, value]) => {
    const option =
      typeof value === 'boolean' ? { type: 'boolean', default: value } : { type: 'string', default: `${value}` }
    return [optionName(key), option]
  })
  return parseArgs({ options: { ...Object.fromEntries(options), out: { type: 'string' } } }).values
}

const optionName = (key: string): string => key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

function read(name: string, value: unknown): number | boolean {
  if (typeof value === 'boolean') return value
  if (!/^\d{1,12}$/.test(`${value}`)) throw new Error(`--${name} is a whole number, not ${value}`)
  return Number(value)
}
