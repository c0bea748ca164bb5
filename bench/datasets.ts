// The inputs of the throughput part, as lines of JSON that are one event each: real shop traffic, as long as wanted, and
// generated traffic. The same call gives the same lines.
// DS1: no (user, type, event_id) repeats, so nothing is a duplicate that was none in the original.
// DS2: loops lie before each other in time, the last one at the original's: nothing is in the future of the broker's clock.

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { TRAFFIC_DEFAULTS, traffic } from '../cli/generate/traffic.ts'

/** The shop's ten days lie beside a checkout of the project, not in it. */
export const SHOP_FILE = new URL('../../shared/data/shop-10d.ndjson.gz', import.meta.url)

const DAY_MS = 86_400_000

/** `events` lines of each dataset. */
export const DATASETS = { 'shop-10d': shopLines, generated: generatedLines } as const
export type DatasetName = keyof typeof DATASETS

function* generatedLines(events: number): Generator<string> {
  for (const piece of traffic({ ...TRAFFIC_DEFAULTS, events })) {
    yield* piece.toString().split('\n').filter(isEvent)
  }
}

/** The shop's file, read again and again: ids get the number of the loop, times move by whole spans of the data. */
function* shopLines(events: number): Generator<string> {
  const lines = gunzipSync(readFileSync(SHOP_FILE)).toString().split('\n').filter(isEvent)
  const loops = Math.ceil(events / lines.length)
  const spanMs = spanOf(lines)
  for (let loop = 0, left = events; loop < loops; loop++) {
    const shiftMs = (loop + 1 - loops) * spanMs
    for (const line of lines.slice(0, left)) yield shifted(line, `.${loop}`, shiftMs)
    left -= lines.length
  }
}

const isEvent = (line: string): boolean => line !== ''

interface ShopEvent {
  event_time: number
  event_id: string
  click_id?: string
  order_id?: string
}

function shifted(line: string, suffix: string, shiftMs: number): string {
  const event = JSON.parse(line) as ShopEvent
  event.event_time += shiftMs
  event.event_id += suffix
  if (event.click_id !== undefined) event.click_id += suffix
  if (event.order_id !== undefined) event.order_id += suffix
  return JSON.stringify(event)
}

/** Whole days, so that each loop has the same hours of the day. */
function spanOf(lines: readonly string[]): number {
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const line of lines) {
    const { event_time: time } = JSON.parse(line) as ShopEvent
    first = Math.min(first, time)
    last = Math.max(last, time)
  }
  return Math.ceil((last - first + 1) / DAY_MS) * DAY_MS
}
