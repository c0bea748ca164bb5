// The directory that `holdfast run` leaves (contract.md, section 7): lines in canonical JSON, sorted by their bytes.
// D1: nothing half-written is ever visible: each file is written beside the directory's old one and renamed when whole.

import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import stringify from 'fast-json-stable-stringify'

/** Bytes of text collected before a write. */
const WRITE_BYTES = 1 << 20

/** One line of an output file. */
export function canonicalLine(value: unknown): string {
  return stringify(value)
}

/** Sorts lines as bytes (UTF-8), not as UTF-16. */
export function sortLines(lines: string[]): string[] {
  const isAscii = lines.every((line) => Buffer.byteLength(line) === line.length)
  if (isAscii) return lines.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return lines
    .map((line) => Buffer.from(line))
    .sort(Buffer.compare)
    .map((bytes) => bytes.toString())
}

/** Writes a file of lines, whole or not at all. */
export async function writeLines(directory: string, name: string, lines: readonly string[]): Promise<void> {
  await writeWhole(directory, name, async (write) => {
    let text = ''
    for (const line of lines) {
      text += `${line}\n`
      if (text.length < WRITE_BYTES) continue
      await write(text)
      text = ''
    }
    await write(text)
  })
}

/** Writes a JSON document for people as well as programs. */
export async function writeDocument(directory: string, name: string, value: unknown): Promise<void> {
  await writeWhole(directory, name, (write) => write(`${JSON.stringify(value, null, 2)}\n`))
}

async function writeWhole(
  directory: string,
  name: string,
  fill: (write: (text: string) => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  await mkdir(directory, { recursive: true })
  const temporary = join(directory, `.${name}.${process.pid}`)
  const file = await open(temporary, 'w')
  try {
    // appendFile, not write: a write may take a part only and say so in a number.
    await fill((text) => file.appendFile(text))
    await file.sync()
    await file.close()
    await rename(temporary, join(directory, name))
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true })
    throw error
  }
}
