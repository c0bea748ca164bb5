// The generated client: it is what the routes say, and it reads from a server that listens.

import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clientRoutes, clientSource, documentOf } from '../scripts/client.ts'
import { newToken, Tokens } from '../sinks/http/auth.ts'
import type { HttpServer } from '../sinks/http/server.ts'
import { ReadWorld, readServer } from '../test/read-world.ts'
import { HoldfastClient } from './holdfast.ts'
import { ApiError, NoAnswer } from './transport.ts'

const FEATURE = 'page_views_1h'

describe('the file', () => {
  it('is what the script writes', async () => {
    const file = readFileSync(new URL('./holdfast.ts', import.meta.url), 'utf8')
    expect(clientSource(await documentOf(...clientRoutes()))).toBe(file)
  })

  it('follows the routes: another route is another method', async () => {
    const schema = {
      operationId: 'newOne',
      summary: 'A new one',
      querystring: Type.Object({ limit: Type.Integer({ description: 'How many.' }) }),
      response: { 200: Type.Array(Type.Object({ name: Type.String(), at: Type.Optional(Type.Boolean()) })) },
    }
    const source = clientSource(await documentOf((app) => app.get('/v1/new/:id', { schema }, async () => [])))
    expect(source).toContain('export interface NewOneQuery {\n  /** How many. */\n  readonly limit: number\n}')
    expect(source).toContain('async newOne(id: string, query: NewOneQuery): Promise<NewOneAnswer>')
    expect(source).toContain('export type NewOneAnswer = readonly {')
    expect(source).toContain('path: `/v1/new/$' + '{segment(id)}`')
    expect(source).toContain('readonly at?: boolean | undefined')
  })

  it('says nothing that it cannot: a schema without a word for it is refused', async () => {
    const schema = { operationId: 'x', summary: 'x', response: { 200: Type.Union([Type.String(), Type.Integer()]) } }
    const document = await documentOf((app) => app.get('/x', { schema }, async () => ''))
    expect(() => clientSource(document)).toThrow(/no TypeScript for/)
  })
})

describe('the client', () => {
  let world: ReadWorld
  let server: HttpServer
  let client: HoldfastClient

  beforeAll(async () => {
    world = await ReadWorld.start()
    server = await readServer(world)
    client = new HoldfastClient({ url: `${server.url}/` })
  })
  afterAll(async () => {
    await server.close()
    await world.close()
  })

  it('reads one key and many, lists, pins, and asks for the status', async () => {
    const wait = await world.views('ann', ['home', 'a/b?c', '..'])
    const one = await client.readFeature(FEATURE, 'page', 'a/b?c', { wait, timeout_ms: 5_000 })
    expect(one).toMatchObject({ key: 'a/b?c', value: 1 })
    const many = await client.readFeatures(FEATURE, 'page', { keys: ['..', 'home', 'x'], wait })
    expect(many.values.map(({ value }) => value)).toEqual([1, 1, 0])
    const { features } = await client.listFeatures()
    expect(features.map(({ entity }) => entity).sort()).toEqual(['page', 'user'])
    const { snapshot, expires_in_ms } = await client.pinSnapshot()
    expect(expires_in_ms).toBeGreaterThan(0)
    expect((await client.readFeature(FEATURE, 'page', 'home', { snapshot })).value).toBe(1)
    expect(await client.unpinSnapshot(snapshot)).toBeUndefined()
    const { tasks } = await client.status()
    expect(tasks.map(({ name }) => name)).toEqual(world.status().map(({ name }) => name))
  })

  it('throws what the node says', async () => {
    const gone = await client.unpinSnapshot('x').catch((error: unknown) => error)
    expect(gone).toBeInstanceOf(ApiError)
    expect(gone).toMatchObject({ status: 404, code: 'UNKNOWN_SNAPSHOT', field: 'id', requestId: expect.any(String) })
    const wait = 'doors_user-1_0:99999.0'
    const late = client.readFeature(FEATURE, 'user', 'x', { wait, timeout_ms: 0 })
    await expect(late).rejects.toMatchObject({ status: 504, details: { reached: expect.any(String) } })
  })

  it('refuses keys that a URL has no spelling for, before it asks', async () => {
    await expect(client.readFeature(FEATURE, 'page', '..')).rejects.toThrow(/several keys/)
    await expect(client.readFeature(FEATURE, 'page', '.')).rejects.toThrow(/several keys/)
  })

  it('shows its token, and what it may not do', async () => {
    const { token, line } = newToken(['read'], 'doors')
    const guarded = await readServer(world, Tokens.parse(line))
    const mine = new HoldfastClient({ url: guarded.url, token })
    expect((await mine.listFeatures()).features).toHaveLength(2)
    await expect(mine.status()).rejects.toMatchObject({ status: 403 })
    await expect(new HoldfastClient({ url: guarded.url }).listFeatures()).rejects.toMatchObject({ status: 401 })
    await guarded.close()
  })
})

describe('what is no answer of a node', () => {
  let other: Server | undefined
  afterAll(() => other?.close())

  async function against(listener: RequestListener, timeoutMs = 5_000): Promise<unknown> {
    other = createServer(listener).listen(0, '127.0.0.1')
    await new Promise((resolve) => other!.once('listening', resolve))
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
    try {
      return await new HoldfastClient({ url, token: 'secret', timeoutMs }).listFeatures().catch((error) => error)
    } finally {
      other.closeAllConnections()
      other.close()
    }
  }

  it('nobody there, silence, another program: NoAnswer, or its status', async () => {
    const nobody = new HoldfastClient({ url: 'http://127.0.0.1:1' }).listFeatures()
    await expect(nobody).rejects.toBeInstanceOf(NoAnswer)
    expect(await against(() => {}, 50)).toBeInstanceOf(NoAnswer)
    expect(await against((_, response) => response.end('<html>'))).toBeInstanceOf(NoAnswer)
    const elsewhere = await against((_, response) => response.writeHead(502).end('<html>'))
    expect(elsewhere).toBeInstanceOf(ApiError)
    expect(elsewhere).toMatchObject({ status: 502, code: 'NO_CODE' })
  })

  it('a redirection is not followed, with the token least of all', async () => {
    const asked: string[] = []
    const error = await against((request, response) => {
      asked.push(request.url!)
      response.writeHead(302, { location: '/elsewhere' }).end()
    })
    expect(error).toBeInstanceOf(NoAnswer)
    expect(asked).toEqual(['/v1/features'])
  })
})
