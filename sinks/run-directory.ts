// The directory that `holdfast run` leaves (contract.md, section 7): lines in canonical JSON, sorted by their bytes.
// D1: nothing half-written is ever visible: each file is written beside the directory's old one and renamed when whole.

import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import stringify from 'fast-json-stable-stringify'
import { SORT_ROOM, type SortRoom, sortedChunks } from './line-sort.ts'

/** One line of an output file. */
export function canonicalLine(value: unknown): string {
  return stringify(value)
}

/** Writes a file of lines, sorted by their bytes, whole or not at all. What does not fit `room` waits on the disk beside it. */
export async function writeLines(
  directory: string,
  name: string,
  lines: AsyncIterable<string> | Iterable<string>,
  room: SortRoom = SORT_ROOM,
): Promise<void> {
  await writeWhole(directory, name, async (write, temporary) => {
    for await (const chunk of sortedChunks(lines, `${temporary}.runs`, room)) await write(chunk)
  })
}

/** Writes a JSON document for people as well as programs. */
export async function writeDocument(directory: string, name: string, value: unknown): Promise<void> {
  await writeWhole(directory, name, (write) => write(`${JSON.stringify(value, null, 2)}\n`))
}

async function writeWhole(
  directory: string,
  name: string,
  fill: (write: (content: string | Uint8Array) => Promise<unknown>, temporary: string) => Promise<unknown>,
): Promise<void> {
  await mkdir(directory, { recursive: true })
  const temporary = join(directory, `.${name}.${process.pid}`)
  const file = await open(temporary, 'w')
  try {
    // appendFile, not write: a write may take a part only and say so in a number.
    await fill((content) => file.appendFile(content), temporary)
    await file.sync()
    await file.close()
    await rename(temporary, join(directory, name))
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true })
    throw error
  }
}
