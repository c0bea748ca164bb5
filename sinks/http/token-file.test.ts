// A token file that changes under an open door, on a real server.

import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, it } from 'vitest'
import { newToken } from './auth.ts'
import { HttpMetrics } from './metrics.ts'
import { openHttpServer } from './server.ts'
import { statusRoutes } from './status-routes.ts'
import { TokenFile } from './token-file.ts'

/** What a removed token may still be good for. */
const REFUSED_WITHIN_MS = 2_000

const dir = mkdtempSync(join(tmpdir(), 'holdfast-token-file-'))
afterAll(() => rmSync(dir, { recursive: true }))

it('a removed token is refused within two seconds, a new one is known; a broken file keeps what was, an empty one nobody', async () => {
  const path = join(dir, 'tokens')
  const [old, next] = [newToken(['metrics'], 'hf'), newToken(['metrics'], 'hf')]
  const write = (text: string) => {
    writeFileSync(`${path}.new`, text, { mode: 0o600 })
    renameSync(`${path}.new`, path)
  }
  write(old.line)
  const said: string[] = []
  const tokens = new TokenFile(path, (line) => said.push(line))
  const routes = [
    (app: Parameters<typeof statusRoutes>[0]) =>
      statusRoutes(app, { status: () => [], attribution: () => null, model: () => null, evaluated: null }),
  ]
  const server = await openHttpServer({
    ...{ port: 0, namespace: 'hf', tokens, routes, metrics: new HttpMetrics(), version: 'test' },
  })
  const statusOf = async (token: string): Promise<number> => {
    const answer = await fetch(`${server.url}/v1/status`, { headers: { authorization: `Bearer ${token}` } })
    await answer.body?.cancel()
    return answer.status
  }
  const becomes = async (token: string, status: number): Promise<void> => {
    const until = performance.now() + REFUSED_WITHIN_MS
    while ((await statusOf(token)) !== status && performance.now() < until) await sleep(100)
    expect(await statusOf(token)).toBe(status)
  }
  const says = async (pattern: RegExp): Promise<void> => {
    while (!said.some((line) => pattern.test(line))) await sleep(20)
  }
  try {
    expect(await statusOf(old.token)).toBe(200)
    write(`${old.line}\n{"sha256": "half`)
    await says(/not JSON; the tokens read before hold on$/)
    expect(await statusOf(old.token)).toBe(200)
    chmodSync(path, 0o644)
    await says(/chmod 600/)
    expect(await statusOf(old.token)).toBe(200)
    rmSync(path)
    await says(/cannot read the token file .*ENOENT/)
    expect(await statusOf(old.token)).toBe(200)
    expect(said).toHaveLength(3)
    write(next.line)
    await becomes(old.token, 401)
    expect(await statusOf(next.token)).toBe(200)
    write('')
    await becomes(next.token, 401)
    expect(said.at(-1)).toMatch(/nobody comes in/)
    write(`[${next.line}]`)
    await becomes(next.token, 200)
    write('[]')
    await becomes(next.token, 401)
    expect(said.join('\n')).not.toContain(JSON.parse(next.line).sha256)
  } finally {
    tokens.close()
    await server.close()
  }
})
