// Tokens: what a file may hold, and who is known by it.

import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { authorize, newToken, TOKENS_MAX, Tokens } from './auth.ts'

const NOW_MS = Date.UTC(2026, 0, 1)
const dir = mkdtempSync(join(tmpdir(), 'holdfast-auth-'))
afterAll(() => rmSync(dir, { recursive: true }))

function file(text: string, mode = 0o600): string {
  const path = join(dir, `tokens-${Math.random()}`)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

const lineWith = (over: object) => JSON.stringify({ ...JSON.parse(newToken(['read'], 'hf').line), ...over })

describe('a new token', () => {
  it('is 32 random bytes, and the line holds its SHA-256 and not the token', () => {
    const { token, line } = newToken(['read', 'write'], 'hf')
    expect(Buffer.from(token.slice(3), 'base64url')).toHaveLength(32)
    const sha256 = createHash('sha256').update(token).digest('hex')
    expect(JSON.parse(line)).toEqual({ sha256, scopes: ['read', 'write'], namespace: 'hf' })
    expect(newToken(['read'], 'hf').token).not.toBe(token)
  })

  it('is known by its line, whatever else is in the file', () => {
    const all = [newToken(['read'], 'a'), newToken(['write', 'erase'], 'b'), newToken(['metrics'], 'c')]
    const asLines = Tokens.load(file(`\n${all.map(({ line }) => line).join('\r\n')}\n\n`))
    const asArray = Tokens.load(file(`[${all.map(({ line }) => line).join(',')}]`))
    for (const tokens of [asLines, asArray]) {
      for (const { token, line } of all) {
        const { scopes, namespace } = JSON.parse(line)
        expect(tokens.holderOf(`Bearer ${token}`, NOW_MS)).toMatchObject({ scopes: new Set(scopes), namespace })
      }
    }
  })
})

describe('nobody is known by', () => {
  const { token, line } = newToken(['read'], 'hf')
  const tokens = Tokens.parse(line)
  it.each([
    ['no header', undefined],
    ['an empty one', ''],
    ['another scheme', `Basic ${token}`],
    ['the bare token', token],
    ['a part of the token', `Bearer ${token.slice(0, -1)}`],
    ['the token and more', `Bearer ${token}A`],
    ['its hash', `Bearer ${JSON.parse(line).sha256}`],
    ['two tokens', `Bearer ${token}, Bearer ${token}`],
    ['something huge', `Bearer ${'a'.repeat(10_000)}`],
  ])('%s', (_, header) => expect(tokens.holderOf(header, NOW_MS)).toBeNull())

  it.each([42, 257])('a token of %i characters, even where somebody put its hash into the file', (length) => {
    const token = 'a'.repeat(length)
    const sha256 = createHash('sha256').update(token).digest('hex')
    expect(Tokens.parse(lineWith({ sha256 })).holderOf(`Bearer ${token}`, NOW_MS)).toBeNull()
  })

  it('an expired token, from that millisecond on', () => {
    const timed = newToken(['read'], 'hf')
    const expiring = Tokens.parse(JSON.stringify({ ...JSON.parse(timed.line), expires: '2026-01-01T01:00:00+01:00' }))
    expect(expiring.holderOf(`Bearer ${timed.token}`, NOW_MS - 1)).not.toBeNull()
    expect(expiring.holderOf(`Bearer ${timed.token}`, NOW_MS)).toBeNull()
  })
})

describe('a known token', () => {
  const holder = { id: 'x', scopes: new Set(['read', 'metrics'] as const), namespace: 'hf' }
  it('may do what its scopes say, in its namespace', () => {
    expect(() => authorize(holder, 'read', 'hf')).not.toThrow()
    expect(() => authorize(holder, 'metrics', 'hf')).not.toThrow()
  })
  it.each([
    ['write', 'hf'],
    ['erase', 'hf'],
    ['read', 'hf2'],
  ] as const)('may not do %s in %s', (scope, namespace) => {
    expect(() => authorize(holder, scope, namespace)).toThrow(
      expect.objectContaining({ facts: expect.objectContaining({ status: 403 }) }),
    )
  })
})

describe('a token file', () => {
  it.each([0o640, 0o604, 0o620, 0o601, 0o644])('that others can use (mode %o) is refused, with what to do', (mode) => {
    const path = file(newToken(['read'], 'hf').line, mode)
    expect(() => Tokens.load(path)).toThrow(`chmod 600 ${path}`)
  })

  it.each([
    ['nothing', '', 'no token'],
    ['an empty array', '[]', 'no token'],
    ['no JSON', 'hf_secret-secret', 'line 1 of the token file is not JSON'],
    ['no JSON array', '[{]', 'not JSON'],
    ['a number', '7', 'line 1 of the token file: not an object'],
    [
      'a second line without a hash',
      `${newToken(['read'], 'hf').line}\n{"scopes":["read"]}`,
      'line 2 of the token file: sha256',
    ],
    ['a hash that is too short', lineWith({ sha256: 'abc' }), 'sha256'],
    ['no scope', lineWith({ scopes: [] }), 'scopes'],
    ['an unknown scope', lineWith({ scopes: ['admin'] }), 'scopes'],
    ['no namespace', lineWith({ namespace: '' }), 'namespace'],
    ['a field that we do not know', lineWith({ expire: '2030-01-01T00:00:00Z' }), 'only sha256'],
    ['a date without a time', lineWith({ expires: '2030-01-01' }), 'expires'],
    ['a local time', lineWith({ expires: '2030-01-01T00:00:00' }), 'expires'],
    ['no date', lineWith({ expires: '2030-13-01T00:00:00Z' }), 'expires'],
    [
      'too many',
      Array(TOKENS_MAX + 1)
        .fill(newToken(['read'], 'hf').line)
        .join('\n'),
      `more than ${TOKENS_MAX}`,
    ],
    ['far too much', ' '.repeat(1024 * 1024 + 1), 'too large'],
  ])('with %s is USAGE and repeats nothing of it', (_, text, message) => {
    const load = () => Tokens.load(file(text))
    expect(load).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }))
    expect(load).not.toThrow('secret')
  })

  it('that is not there is USAGE', () => {
    expect(() => Tokens.load(join(dir, 'none'))).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  it('of TOKENS_MAX tokens is read', () => {
    const all = Array.from({ length: TOKENS_MAX }, () => newToken(['read'], 'hf'))
    const tokens = Tokens.parse(all.map(({ line }) => line).join('\n'))
    expect(tokens.holderOf(`Bearer ${all.at(-1)!.token}`, NOW_MS)).not.toBeNull()
  })
})
