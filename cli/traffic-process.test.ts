// The real generator, started as `npm start` does, against a server that answers as a test needs it.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { TrafficProcess } from './traffic-process.ts'

/** A generator starts within this on a loaded machine. */
const PATIENCE_MS = 60_000

let server: Server
let traffic: TrafficProcess
const said: string[] = []
afterEach(async () => {
  await traffic.stop()
  server.closeAllConnections()
  server.close()
  said.splice(0)
})

async function start(answer: (body: string) => { status: number; body: string }, durationS: number): Promise<void> {
  server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const { status, body } = answer(text)
    response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  traffic = new TrafficProcess({ url, say: (line) => said.push(line), durationS })
}

it('goes on with other traffic when a part of it has ended, until it is stopped', async () => {
  const firsts: string[] = []
  await start((body) => {
    for (const line of body.split('\n')) if (line.includes('"event_id":"e1"')) firsts.push(line)
    return { status: 200, body: JSON.stringify({ taken: 1, refused: 0, events: [] }) }
  }, 1)
  await vi.waitFor(() => expect(firsts.length).toBeGreaterThanOrEqual(2), { timeout: PATIENCE_MS })
  await traffic.stop()
  expect(new Set(firsts.map((line) => line.replace(/"event_time":\d+/, ''))).size).toBe(firsts.length)
  expect(said).toEqual([])
})

it('that fails says why, once, and is not started again', async () => {
  let asked = 0
  await start(() => {
    asked++
    return { status: 404, body: 'no such route' }
  }, 60)
  await vi.waitFor(() => expect(said).toHaveLength(1), { timeout: PATIENCE_MS })
  expect(said[0]).toMatch(
    /^the generated traffic has ended, the node goes on: the front door refuses what is sent: HTTP 404: no such route/,
  )
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect([asked, said.length]).toEqual([1, 1])
})
