// What the load generator promises: latencies that count waiting, a rate that does not follow the node, bounded waiting.

import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { HttpConnections, requestBytes, WAITING_MAX } from './http-connections.ts'
import { closedLoad, openLoad } from './pace.ts'

it('a stall is charged to everybody who was to be served meanwhile (PA1)', async () => {
  // Long beside what a busy machine keeps a timer waiting for.
  const stalledUntilMs = performance.now() + 800
  const load = await openLoad({ perSecond: 125, seconds: 1.6 }, (done) => {
    setTimeout(() => done(true), Math.max(0, stalledUntilMs - performance.now()))
  })
  expect(load).toMatchObject({ done: 200, failed: 0 })
  // Half of them came during the stall, evenly: one asker at a time would have seen it once.
  expect(load.latencyUs.getValueAtPercentile(75)).toBeGreaterThan(280_000)
  expect(load.latencyUs.getValueAtPercentile(25)).toBeLessThan(200_000)
})

it('an asker waits for its answer; what went wrong is counted and has no latency', async () => {
  let [underWay, most, n] = [0, 0, 0]
  const load = await closedLoad({ askers: 3, seconds: 0.1 }, (done) => {
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      done(++n % 2 === 0)
    }, 2)
  })
  expect(most).toBe(3)
  expect(load.done + load.failed).toBe(n)
  expect(load.latencyUs.totalCount).toBe(load.done)
})

async function serving(listener: RequestListener, work: (http: HttpConnections) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const http = new HttpConnections(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 2)
  try {
    await work(http)
  } finally {
    http.close()
    server.close()
  }
}

it('requests are answered with theirs, one at a time on each connection (HC1)', async () => {
  let [underWay, most] = [0, 0]
  const REQUESTS = 5
  // Nobody is answered before both connections have asked, but for the last one, which is alone.
  let held: (() => void)[] = []
  const echo: RequestListener = (request, response) => {
    most = Math.max(most, ++underWay)
    request.setEncoding('utf8')
    let body = ''
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      held.push(() => {
        underWay--
        const answer = `${request.url} ${body}`
        response.writeHead(201, { 'content-length': answer.length }).write(answer.slice(0, 3))
        setTimeout(() => response.end(answer.slice(3)), 1)
      })
      if (held.length < 2 && request.url !== `/${REQUESTS}`) return
      const answers = held
      held = []
      for (const answer of answers) answer()
    })
  }
  await serving(echo, async (http) => {
    const answers = await Promise.all(
      [1, 2, 3, 4, 5].map((i) => http.ask(requestBytes(`/${i}`, i % 2 === 0 ? undefined : `body ${i}`))),
    )
    expect(answers.map(({ status, body }) => `${status} ${body}`)).toEqual(
      [1, 2, 3, 4, 5].map((i) => `201 /${i} ${i % 2 === 0 ? '' : `body ${i}`}`),
    )
    expect(most).toBe(2)
  })
})

it('what waits for a node that does not answer is bounded (HC2)', async () => {
  await serving(
    (request) => setTimeout(() => request.socket.destroy(), 60_000).unref(),
    async (http) => {
      const request = requestBytes('/')
      const sent = Array.from({ length: WAITING_MAX + 3 }, () => http.send(request, () => {}))
      expect(sent.filter((wasSent) => !wasSent)).toHaveLength(1)
      expect(sent.at(-1)).toBe(false)
      http.close()
    },
  )
})
