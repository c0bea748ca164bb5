// The live page is handed out as it was built: its types, its policy, its caching, and nothing else of the disk.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rawExchange, statusIn } from '../../test/abuse/door.ts'
import { HttpMetrics } from './metrics.ts'
import { PAGE_LIMITS, pageRoutes } from './page-routes.ts'
import { type HttpServer, openHttpServer } from './server.ts'

const HTML = '<!doctype html><title>a page</title>'
const SCRIPT = 'export {}'

let dir: string
let server: HttpServer | null = null

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-page-'))
  writeFileSync(join(dir, 'secret.js'), 'nobody sees this')
})
afterEach(async () => {
  await server?.close()
  server = null
  rmSync(dir, { recursive: true })
})

function build(): void {
  mkdirSync(join(dir, 'web', 'assets'), { recursive: true })
  writeFileSync(join(dir, 'web', 'sources.sha256'), 'a hash')
  writeFileSync(join(dir, 'web', 'assets', 'index-1.js'), SCRIPT)
  writeFileSync(join(dir, 'web', 'assets', 'index-1.css'), 'body {}')
  writeFileSync(join(dir, 'web', 'assets', 'icon-1.svg'), '<svg/>')
  writeFileSync(join(dir, 'web', 'assets', 'notes.txt'), 'not of a page')
  writeFileSync(join(dir, 'web', 'index.html'), HTML)
}

async function open(): Promise<string> {
  server = await openHttpServer({
    ...{ port: 0, namespace: 'hf', tokens: null, metrics: new HttpMetrics(), version: 'test' },
    routes: [(app) => pageRoutes(app, { pageDir: join(dir, 'web') })],
  })
  return server.url
}

describe('a page that is built', () => {
  it('is at the root, asked for each time, and runs only its own script', async () => {
    build()
    const answer = await fetch(await open())
    expect([answer.status, await answer.text()]).toEqual([200, HTML])
    const { headers } = answer
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(headers.get('cache-control')).toBe('no-cache')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    const policy = headers.get('content-security-policy')!.split('; ')
    expect(policy).toEqual(expect.arrayContaining(["default-src 'none'", "script-src 'self'", "connect-src 'self'"]))
    expect(policy.join()).not.toMatch(/unsafe|\*|data:|http/)
  })

  it.each([
    ['index-1.js', 'text/javascript; charset=utf-8'],
    ['index-1.css', 'text/css; charset=utf-8'],
    ['icon-1.svg', 'image/svg+xml'],
  ])('has %s as %s, kept for good', async (name, type) => {
    build()
    const answer = await fetch(`${await open()}/assets/${name}`)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, type])
    expect(answer.headers.get('cache-control')).toContain('immutable')
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  })

  it.each(['/', '/assets/index-1.js'])('is not sent again where %s has not changed', async (path) => {
    build()
    const url = `${await open()}${path}`
    const etag = (await fetch(url)).headers.get('etag')!
    const same = await fetch(url, { headers: { 'if-none-match': etag } })
    expect([same.status, await same.text(), same.headers.get('etag')]).toEqual([304, '', etag])
    expect((await fetch(url, { headers: { 'if-none-match': '"another"' } })).status).toBe(200)
  })

  it.each([
    '/assets/../../secret.js',
    '/assets/..%2f..%2fsecret.js',
    '/assets/%2e%2e/index.html',
    '/assets/..%5c..%5csecret.js',
    '/assets//etc/passwd',
    '/assets/notes.txt',
    '/assets/sources.sha256',
    '/assets/__proto__',
    '/assets/%00',
    '/sources.sha256',
    '/assets/',
  ])('gives nothing for %s', async (path) => {
    build()
    const answer = await rawExchange(await open(), `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    expect([statusIn(answer), answer.includes('NOT_FOUND')]).toEqual([404, true])
    expect(answer).not.toMatch(/nobody sees|a hash|not of a page/)
  })
})

describe('a page that is not built', () => {
  it('says which command builds it, and is there once that has run', async () => {
    const url = await open()
    const missing = await fetch(url)
    expect(missing.status).toBe(200)
    expect(await missing.text()).toContain('node scripts/build-web.ts')
    expect((await fetch(`${url}/assets/index-1.js`)).status).toBe(404)
    build()
    expect(await (await fetch(url)).text()).toBe(HTML)
    expect(await (await fetch(`${url}/assets/index-1.js`)).text()).toBe(SCRIPT)
  })
})

describe('a folder that is another one', () => {
  it(`of more than ${PAGE_LIMITS.files} files is refused`, async () => {
    build()
    for (let i = 0; i < PAGE_LIMITS.files; i++) writeFileSync(join(dir, 'web', 'assets', `more-${i}.js`), '')
    await expect(open()).rejects.toMatchObject({ code: 'USAGE' })
  })

  it(`of more than ${PAGE_LIMITS.bytes} bytes is refused`, async () => {
    build()
    writeFileSync(join(dir, 'web', 'assets', 'large.js'), Buffer.alloc(PAGE_LIMITS.bytes))
    await expect(open()).rejects.toMatchObject({ code: 'USAGE' })
  })
})
