// The script of a page as it is served: web/pixel/holdfast.js without comments and spaces, and a tag of its bytes.
// PS1: line breaks between statements stay, and texts stay as they are: what is dropped has no meaning.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const SOURCE = join(import.meta.dirname, '..', '..', 'web', 'pixel', 'holdfast.js')
/** Bytes as served, without compression: fits the first packets of a connection, beside the headers. */
export const SCRIPT_BYTES_MAX = 2_048

export interface PixelScript {
  readonly body: Buffer
  /** As in the header. */
  readonly etag: string
}

export function pixelScript(): PixelScript {
  const body = Buffer.from(stripped(readFileSync(SOURCE, 'utf8')))
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` }
}

/**
 * A script without lines that are only a comment, empty lines, spaces beside punctuation, and line breaks where no
 * statement can end. For our own script alone: it knows texts in quotes and backticks, and neither regular expressions
 * nor quotes within quotes, nor a sum with a sign in it.
 */
export function stripped(source: string): string {
  const lines = source.split('\n').map((line) => line.trim())
  const code = lines.filter((line) => line !== '' && !line.startsWith('//')).join('\n')
  const dense = code.replaceAll(TEXT_OR_SPACE, (_, text = '', punctuation = '') => text + punctuation)
  return dense.replaceAll(/(?<=[{(,>])\n|\n(?=[}).])/g, '')
}
const TEXT_OR_SPACE = /('[^'\n]*'|`[^`\n]*`)| *([=(){}[\],;:?&|<>*!+]+) */g
