// Traffic that has something for every feature of the CVR application to say: a world of 40 days, longer than the longest window,
// so that things also stop being said; at its end a page of more visitors and a user of more advertisers than are kept as they
// are, and a user who does everything, also what nobody does in that world.

import { WORLD_DEFAULTS, world } from '../../cli/generate/world.ts'

const DAYS = 40
const DAY_MS = 86_400_000
/** More than 64: what is kept of them is a sketch, and 64 counts. */
const VISITORS = 300
const ADVERTISERS = 90

/** The bytes of a file; the same options, the same bytes. `events`: about how many lines. */
export function applicationInput({ events, seed }: { events: number; seed: number }): Buffer {
  const few = { users: 400, pages: 80, ads: 60, campaigns: 20, advertisers: 6 }
  const options = { ...WORLD_DEFAULTS, ...few, days: DAYS, events, seed }
  const lines = [...world(options, null)].flat().map(({ text }) => text)
  const endMs = options.startMs + DAYS * DAY_MS
  return Buffer.from(
    [...lines, ...edgeLines(endMs), ...regularLines(endMs), ...wideLines(endMs)].map((line) => `${line}\n`).join(''),
  )
}

/** Events at the edges of what came last and of windows that end at `time`: the last that is out and the first that is in. */
function edgeLines(time: number): string[] {
  const agesMs = [1 / 24, 1, 7, 28]
    .map((days) => days * DAY_MS)
    .flatMap((ms) => [ms + 1, ms, ms - 1, ms - 60_000, ms - 3_600_000])
  return agesMs.flatMap((ageMs, i) =>
    ['page_view', 'click'].map((type) => {
      const id = `edge-${type}-${i}`
      const about = { advertiser_id: 'adv1', campaign_id: 'edge', ad_id: 'edge', page_id: `/edge-${i}`, click_id: id }
      return JSON.stringify({ type, event_id: id, event_time: time - ageMs, user_id: `edge-${i % 5}`, ...about })
    }),
  )
}

/** What there is of a user's events in one minute. */
function regularLines(time: number): string[] {
  const ad = { advertiser_id: 'adv1', campaign_id: 'always', ad_id: 'always' }
  const types = { page_view: { page_id: '/a' }, impression: {}, click: {}, add_to_cart: {}, checkout: {}, lead: {} }
  const events = Object.entries(types).map(([type, fields], i) => ({ type, ...fields, event_time: time - 60_000 + i }))
  const orders = [19.99, 5, 0].map((value, i) => ({
    ...{ type: 'conversion', order_id: `always-${i}`, value, currency: 'USD', event_time: time - 50_000 + i },
  }))
  return [...events, ...orders].map((event, i) =>
    JSON.stringify({ ...event, ...ad, event_id: `always-${i}`, click_id: `always-${i}`, user_id: 'always' }),
  )
}

function wideLines(time: number): string[] {
  const common = { event_time: time, device: 'mobile' }
  const views = Array.from({ length: VISITORS }, (_, i) => ({
    ...{ type: 'page_view', event_id: `wide-${i}`, user_id: `visitor-${i}`, page_id: '/everybody', ...common },
  }))
  const clicks = Array.from({ length: 3 * ADVERTISERS }, (_, i) => ({
    ...{ type: 'click', event_id: `wide-${i}`, click_id: `wide-${i}`, user_id: 'everywhere', ...common },
    // Some once, some five times.
    ...{
      advertiser_id: `wide-${Math.floor(Math.sqrt(i * ADVERTISERS * 0.33))}`,
      campaign_id: 'wide',
      ad_id: `ad-${i % 7}`,
    },
  }))
  return [...views, ...clicks].map((event) => JSON.stringify(event))
}
