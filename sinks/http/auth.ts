// Who may do what over HTTP: bearer tokens from a file that only its owner can read.
// AU1: a token is known by its SHA-256 alone and compared in constant time with every line, whichever matches.
// AU2: none, unknown and expired tokens get the same answer; what a token may do is said only to who has it.
// AU3: nothing of a token is in an error, in the log, or in what this file throws.
// Brute force and rates are in limits.ts. A token of 256 random bits is not guessed: the limit there saves work.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { HoldfastError } from '../../log/errors.ts'
import { SCOPES, type Scope } from './app.ts'
import { HttpError } from './errors.ts'

/** Random bytes of a new token; base64url makes 43 characters of them. */
export const TOKEN_BYTES = 32
/** Characters below which a token cannot be of TOKEN_BYTES: refused unseen. */
const TOKEN_CHARACTERS_MIN = 43
/** Characters above which a token is refused unseen: what is hashed for a stranger stays small. */
const TOKEN_CHARACTERS_MAX = 256
/** Every request is compared with each of them: about 20 microseconds for all. */
export const TOKENS_MAX = 100
/** Bytes: far more than TOKENS_MAX lines need. */
const TOKEN_FILE_BYTES_MAX = 1024 * 1024
/** Shows in a text that something is a token of ours, so that it is found where it should not be. */
const TOKEN_PREFIX = 'hf_'

/** A line of the token file. */
export interface TokenLine {
  /** Hex, of the token as it is sent. */
  readonly sha256: string
  readonly scopes: readonly Scope[]
  readonly namespace: string
  /** ISO 8601; without it the token does not expire. */
  readonly expires?: string
}

interface Known {
  /** Names the token in limits and logs: the first digits of its SHA-256, of which nobody gets back to it. */
  readonly id: string
  readonly sha256: Buffer
  readonly scopes: ReadonlySet<Scope>
  readonly namespace: string
  readonly expiresMs: number
}

/** A token, to be given to somebody once, and the line for the file. */
export function newToken(
  scopes: readonly Scope[],
  namespace: string,
): { readonly token: string; readonly line: string } {
  const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url')
  const line: TokenLine = { sha256: sha256(token).toString('hex'), scopes, namespace }
  return { token, line: JSON.stringify(line) }
}

/** Whoever knows tokens: those of one text, or of a file that changes (token-file.ts). */
export interface TokenHolders {
  /** Who sends this `Authorization` header; null: nobody whom we know, or no longer. */
  holderOf(authorization: string | undefined, nowMs: number): Holder | null
}

/** The text of a token file. Throws USAGE where it cannot be read, or could be by others than its owner. */
export function readTokenFile(path: string): string {
  try {
    const { mode, size } = statSync(path)
    // Windows has no such modes.
    if (process.platform !== 'win32' && (mode & 0o077) !== 0)
      throw usage(`the token file ${path} can be used by others than its owner: chmod 600 ${path}`)
    if (size > TOKEN_FILE_BYTES_MAX) throw usage(`the token file ${path} is too large for ${TOKENS_MAX} tokens`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    throw usage(`cannot read the token file ${path}: ${(error as NodeJS.ErrnoException).code}`)
  }
}

export class Tokens implements TokenHolders {
  readonly #known: readonly Known[]

  private constructor(lines: readonly Known[]) {
    this.#known = lines
  }

  /** Reads a token file: one JSON object a line, or an array of them. Throws USAGE, without a word of what is in it. */
  static load(path: string): Tokens {
    return Tokens.parse(readTokenFile(path)).some()
  }

  /** The tokens in the text of a token file; there may be none. */
  static parse(text: string): Tokens {
    const lines = linesOf(text).map(knownFrom)
    if (lines.length > TOKENS_MAX) throw usage(`the token file has more than ${TOKENS_MAX} tokens`)
    return new Tokens(lines)
  }

  get isEmpty(): boolean {
    return this.#known.length === 0
  }

  /** Throws USAGE where there are none: nobody means to open a door with them. */
  some(): this {
    if (this.isEmpty) throw usage('the token file has no token')
    return this
  }

  holderOf(authorization: string | undefined, nowMs: number): Holder | null {
    const token = /^Bearer ([\w~+/.-]+=*)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined || token.length < TOKEN_CHARACTERS_MIN || token.length > TOKEN_CHARACTERS_MAX) return null
    const digest = sha256(token)
    let holder: Known | null = null
    // No early end: how long it takes says nothing about which line it is.
    for (const known of this.#known) if (timingSafeEqual(known.sha256, digest)) holder = known
    return holder === null || holder.expiresMs <= nowMs ? null : holder
  }
}

export type Holder = Pick<Known, 'id' | 'scopes' | 'namespace'>

/** Throws 403 where a known token may not do this here. */
export function authorize(holder: Holder, scope: Scope, namespace: string): void {
  const message =
    holder.namespace !== namespace
      ? 'the token belongs to another namespace'
      : `the token does not have the scope "${scope}"`
  if (holder.namespace !== namespace || !holder.scopes.has(scope))
    throw new HttpError({ status: 403, code: 'FORBIDDEN', message })
}

/** AU2: one answer for no token, a wrong one and an expired one. */
export const unauthorized = (): HttpError =>
  new HttpError({
    status: 401,
    code: 'UNAUTHORIZED',
    message: 'a valid token is needed: Authorization: Bearer <token>',
    headers: { 'www-authenticate': 'Bearer' },
  })

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

const usage = (message: string): HoldfastError => new HoldfastError('USAGE', message)

/** The values in the file, each with the place that an error names. */
function linesOf(text: string): (readonly [place: string, value: unknown])[] {
  if (text.trimStart().startsWith('[')) {
    const values = parse(text, 'the token file')
    return (values as unknown[]).map((value, i) => [`token ${i + 1}`, value] as const)
  }
  return text.split('\n').flatMap((line, i) => {
    const place = `line ${i + 1}`
    return line.trim() === '' ? [] : [[place, parse(line, `${place} of the token file`)] as const]
  })
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The message of JSON.parse quotes the text (AU3).
    throw usage(`${what} is not JSON`)
  }
}

const FIELDS = new Set(['sha256', 'scopes', 'namespace', 'expires'])

function knownFrom([place, value]: readonly [place: string, value: unknown]): Known {
  const problem = (what: string) => usage(`${place} of the token file: ${what}`)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw problem('not an object')
  const { sha256, scopes, namespace, expires } = value as Record<string, unknown>
  if (!Object.keys(value).every((name) => FIELDS.has(name))) throw problem(`only ${[...FIELDS].join(', ')} are known`)
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/i.test(sha256)) throw problem('sha256 must be 64 hex digits')
  if (!isScopes(scopes)) throw problem(`scopes must be some of ${SCOPES.join(', ')}`)
  if (typeof namespace !== 'string' || namespace === '') throw problem('namespace must be a text')
  const expiresMs = expires === undefined ? Number.POSITIVE_INFINITY : isoMs(expires)
  if (Number.isNaN(expiresMs)) throw problem('expires must be a time like 2027-01-31T00:00:00Z')
  const id = sha256.slice(0, 12).toLowerCase()
  return { id, sha256: Buffer.from(sha256, 'hex'), scopes: new Set(scopes), namespace, expiresMs }
}

function isScopes(value: unknown): value is Scope[] {
  return Array.isArray(value) && value.length > 0 && value.every((scope) => SCOPES.includes(scope))
}

/** Milliseconds; NaN where it is no full time with a zone: a local time would mean something else on another machine. */
function isoMs(value: unknown): number {
  const isIso = typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(value)
  return isIso ? Date.parse(value) : Number.NaN
}
