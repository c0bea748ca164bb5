// What the HTTP server counts, for Prometheus: a registry of its own, and a place for others to add theirs.
// HM1: a label holds what we named (patterns of routes, methods, statuses, codes), never what a client sent.

import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { EventAnswer } from '../event-intake.ts'

/** Seconds. From a read out of memory to a publish that waits for a busy disk. */
const DURATION_BUCKETS_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30]

export interface RequestFacts {
  readonly method: string
  /** The pattern; `none` where no route was found. */
  readonly route: string
  /** `aborted` where the client was gone before its answer. */
  readonly status: number | 'aborted'
  readonly seconds: number
}

export class HttpMetrics {
  /** For metrics of others (tasks): `new Gauge({ ..., registers: [metrics.registry] })`. */
  readonly registry = new Registry()
  readonly #collectors: (() => void | Promise<void>)[] = []
  readonly #requests: Counter<'method' | 'route' | 'status'>
  readonly #durations: Histogram<'route'>
  readonly #inFlight: Gauge
  readonly #events: Counter<'outcome'>

  constructor() {
    const registers = [this.registry]
    this.#requests = new Counter({
      name: 'holdfast_http_requests_total',
      help: 'Requests that ended, by method, route and status.',
      labelNames: ['method', 'route', 'status'],
      registers,
    })
    this.#durations = new Histogram({
      name: 'holdfast_http_request_duration_seconds',
      help: 'From the headers of a request to the last byte of its answer.',
      labelNames: ['route'],
      buckets: DURATION_BUCKETS_S,
      registers,
    })
    this.#inFlight = new Gauge({ name: 'holdfast_http_in_flight', help: 'Requests under way.', registers })
    this.#events = new Counter({
      name: 'holdfast_http_events_total',
      help: 'Events that came in over HTTP: taken, or the code of what became of them.',
      labelNames: ['outcome'],
      registers,
    })
  }

  /** Called before each answer, to bring gauges up to date. */
  onCollect(collect: () => void | Promise<void>): void {
    this.#collectors.push(collect)
  }

  /** The text of all metrics. */
  async text(): Promise<string> {
    await Promise.all(this.#collectors.map((collect) => collect()))
    return this.registry.metrics()
  }

  began(): void {
    this.#inFlight.inc()
  }

  ended({ method, route, status, seconds }: RequestFacts): void {
    this.#inFlight.dec()
    this.#requests.inc({ method, route, status: String(status) })
    this.#durations.observe({ route }, seconds)
  }

  events(answers: readonly EventAnswer[]): void {
    const counts = new Map<string, number>()
    for (const answer of answers) counts.set(outcomeOf(answer), (counts.get(outcomeOf(answer)) ?? 0) + 1)
    for (const [outcome, count] of counts) this.#events.inc({ outcome }, count)
  }
}

const outcomeOf = (answer: EventAnswer): string => (answer.kind === 'refused' ? answer.code : answer.kind)
