// GET / and /assets/: the live page as scripts/build-web.ts made it from web/dashboard/.
// PG1: what can be asked for are the names of files that were found when the page was loaded: no request becomes a path.
// PG2: the page runs its own script and nothing else, asks its own origin and nobody else, and is in no frame.
// The page is public, as its source is; what it shows comes from routes that ask for a token (status, reads).

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { HoldfastError } from '../../log/errors.ts'
import type { App } from './app.ts'
import { errorAnswers, HttpError } from './errors.ts'

const PAGE_DIR = join(import.meta.dirname, '..', '..', '.holdfast', 'web')
/** Files and bytes that are kept in memory: ten times the page. More is another folder, taken for it by mistake. */
export const PAGE_LIMITS = { files: 40, bytes: 2_000_000 }

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
}

/** The page is asked for each time, its assets never again: their names are made of what is in them. */
const PAGE_CACHE = 'no-cache'
const ASSET_CACHE = 'public, max-age=31536000, immutable'

const NOT_BUILT = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Holdfast</title></head><body>
<h1>Holdfast</h1>
<p>The node runs. Its live page is not built yet; this builds it, then load this address again:</p>
<pre>node scripts/build-web.ts</pre>
</body></html>
`

interface Served {
  readonly body: Buffer
  readonly type: string
  readonly etag: string
}

interface BuiltPage {
  readonly index: Served
  /** By file name. */
  readonly assets: ReadonlyMap<string, Served>
}

export interface PageDeps {
  /** Where the page was built; default: where scripts/build-web.ts puts it. */
  readonly pageDir?: string
}

/** Registers the routes. Throws USAGE where the folder of the page holds something else. */
export function pageRoutes(app: App, { pageDir = PAGE_DIR }: PageDeps = {}): void {
  let known = loadPage(pageDir)
  // Built after the node was started: found when it is asked for.
  const page = (): BuiltPage | null => {
    known ??= loadPage(pageDir)
    return known
  }
  const unchanged = { 304: Type.Null({ description: 'Unchanged.' }) }
  const schema = { summary: 'The live page', response: { 200: Type.String({ description: 'HTML' }), ...unchanged } }
  app.get('/', { config: { scope: 'public' }, schema }, async (request: FastifyRequest, reply: FastifyReply) => {
    return send(request, reply, page()?.index ?? served('.html', Buffer.from(NOT_BUILT)), PAGE_CACHE)
  })
  const assetSchema = {
    summary: 'Scripts and styles of the live page',
    params: Type.Object({ name: Type.String() }),
    response: { 200: Type.String({ description: 'The file' }), ...unchanged, ...errorAnswers(404) },
  }
  app.get(
    '/assets/:name',
    { config: { scope: 'public' }, schema: assetSchema },
    async (request: FastifyRequest, reply: FastifyReply) => {
      const { name } = request.params as { name: string }
      const asset = page()?.assets.get(name)
      if (asset === undefined)
        throw new HttpError({ status: 404, code: 'NOT_FOUND', message: 'the page has no such file' })
      return send(request, reply, asset, ASSET_CACHE)
    },
  )
}

function send(request: FastifyRequest, reply: FastifyReply, { body, type, etag }: Served, cache: string): FastifyReply {
  reply.headers({ ...HEADERS, etag, 'cache-control': cache })
  if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send()
  return reply.type(type).send(body)
}

/** Everything in memory; null: it is not built. Throws USAGE where the folder holds something else. */
function loadPage(dir: string): BuiltPage | null {
  const index = join(dir, 'index.html')
  if (!existsSync(index)) return null
  const assetDir = join(dir, 'assets')
  const names = readdirSync(assetDir).filter((name) => extname(name) in TYPES)
  const bytes = names.reduce((sum, name) => sum + statSync(join(assetDir, name)).size, 0)
  if (names.length > PAGE_LIMITS.files || bytes > PAGE_LIMITS.bytes)
    throw new HoldfastError('USAGE', `${dir} is not the live page: delete it, then node scripts/build-web.ts`)
  const assets = names.map((name) => [name, served(extname(name), readFileSync(join(assetDir, name)))] as const)
  return { index: served('.html', readFileSync(index)), assets: new Map(assets) }
}

function served(extension: string, body: Buffer): Served {
  const digest = createHash('sha256').update(body).digest('base64url').slice(0, 22)
  return { body, type: TYPES[extension]!, etag: `"${digest}"` }
}
