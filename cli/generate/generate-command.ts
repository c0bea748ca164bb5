// `holdfast generate`: plausible traffic into a file, or with --world the generated world into files or to a front door.
// WC1: an option that the chosen way would ignore is refused.

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { HoldfastError } from '../../log/errors.ts'
import { EarlyEnd } from '../early-end.ts'
import { wholeNumber } from '../whole-number.ts'
import { PATIENCE_MS, progressOf, sendWorld } from './send.ts'
import { TRAFFIC_DEFAULTS, traffic } from './traffic.ts'
import { ADS_MAX, DAYS_MAX, EVENTS_MAX, SPEED_MAX, WORLD_DEFAULTS, type WorldOptions, world } from './world.ts'
import { writeFile } from './write-file.ts'
import { writeWorld } from './write-world.ts'

/** A day: who wants more starts it again. */
const DURATION_S_MAX = 86_400
const DURATION_S_DEFAULT = 600
/** More than one connection takes; a slip of the finger otherwise. */
const RATE_MAX = 1_000_000
const DAY_S = 86_400

/** The options as they come from commander. What is not said is missing: the two ways have defaults of their own. */
interface Flags {
  readonly out?: string
  readonly events?: number
  readonly users?: number
  readonly pages?: number
  readonly days?: number
  readonly seed?: number
  readonly world?: true
  readonly ads?: number
  readonly campaigns?: number
  readonly advertisers?: number
  readonly truth?: string
  readonly url?: string
  readonly speed?: number
  readonly rate?: number
  readonly duration?: number
  readonly limit?: number
  readonly tokenFile?: string
}

const WORLD_ONLY = [
  'ads',
  'campaigns',
  'advertisers',
  'truth',
  'url',
  'speed',
  'rate',
  'duration',
  'limit',
  'tokenFile',
] as const
const SENDING_ONLY = ['speed', 'rate', 'duration', 'limit', 'tokenFile'] as const

/** Gives a command the options and the action of `holdfast generate`. */
export function generateCommand(command: Command): Command {
  const { events, users, pages, days, seed } = TRAFFIC_DEFAULTS
  return command
    .description(
      'Write a file of plausible shop traffic: sessions, clicks, page views, purchases. The same options, the same bytes.',
    )
    .option('--out <file>', 'where to; .gz is packed')
    .option('--events <n>', `events (default ${events}; of a world: about so many)`, wholeNumber('--events', 0, 1e10))
    .option(
      '--users <n>',
      `users (default ${users}; of a world ${WORLD_DEFAULTS.users})`,
      wholeNumber('--users', 1, 1e9),
    )
    .option('--pages <n>', `pages (default ${pages})`, wholeNumber('--pages', 1, 1e7))
    .option(
      '--days <n>',
      `days that the events are spread over (default ${days}; of a world ${WORLD_DEFAULTS.days}, with --url as many as it takes)`,
      wholeNumber('--days', 1, DAYS_MAX),
    )
    .option('--seed <n>', `another seed, other traffic (default ${seed})`, wholeNumber('--seed', 0, 2 ** 31))
    .option(
      '--world',
      'a world with planted truth: ads, delays of weeks, duplicates, uploads, an outage, bots, bad lines',
    )
    .option('--ads <n>', `with --world: ads (default ${WORLD_DEFAULTS.ads})`, wholeNumber('--ads', 1, ADS_MAX))
    .option(
      '--campaigns <n>',
      `with --world: their campaigns (default ${WORLD_DEFAULTS.campaigns})`,
      wholeNumber('--campaigns', 1, ADS_MAX),
    )
    .option(
      '--advertisers <n>',
      `with --world: whose these are (default ${WORLD_DEFAULTS.advertisers})`,
      wholeNumber('--advertisers', 1, ADS_MAX),
    )
    .option('--truth <file>', 'with --world: what is true, as NDJSON; .gz is packed')
    .option('--url <url>', 'with --world: send to this front door instead of writing a file')
    .option('--speed <n>', 'with --url: seconds of the world in a second (default 1)', speedOf)
    .option('--rate <n>', 'with --url: about how many events a second', wholeNumber('--rate', 1, RATE_MAX))
    .option(
      '--duration <s>',
      `with --url: seconds at most (default ${DURATION_S_DEFAULT})`,
      wholeNumber('--duration', 1, DURATION_S_MAX),
    )
    .option('--limit <n>', 'with --url: events at most', wholeNumber('--limit', 1, EVENTS_MAX))
    .option('--token-file <file>', 'with --url: a file with the bearer token and nothing else')
    .action(async (flags: Flags) => {
      if (flags.world === undefined) await writeTraffic(flags)
      else if (flags.url === undefined) await writeWorldFiles(flags)
      else await send(flags, flags.url, (line) => process.stderr.write(`${line}\n`))
    })
}

async function writeTraffic(flags: Flags): Promise<void> {
  refuse(flags, WORLD_ONLY, '--world')
  const { out, ...options } = flags
  if (out === undefined) throw new HoldfastError('USAGE', "required option '--out <file>' not specified")
  await writeFile(out, traffic({ ...TRAFFIC_DEFAULTS, ...options })).catch((error: Error) => {
    throw new HoldfastError('USAGE', `cannot write ${out}: ${error.message}`)
  })
}

async function writeWorldFiles(flags: Flags): Promise<void> {
  refuse(flags, SENDING_ONLY, '--url')
  const { out, truth } = flags
  if (out === undefined) throw new HoldfastError('USAGE', 'either --out or --url says where the events go')
  await writeWorld(optionsOf(flags), { out, truth }).catch((error: Error) => {
    if (error instanceof HoldfastError || !('syscall' in error)) throw error
    throw new HoldfastError('USAGE', `cannot write: ${error.message}`)
  })
}

/** Event times are those of sending: the world starts now, and what it takes a day for takes a day divided by `speed`. */
async function send(flags: Flags, url: string, say: (line: string) => void): Promise<void> {
  refuse(flags, ['out', 'truth'], 'a file, not with --url')
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new HoldfastError('USAGE', `--url is no address: ${url}`)
  const { speed = 1, duration = DURATION_S_DEFAULT } = flags
  const daysNeeded = Math.min(DAYS_MAX, Math.max(1, Math.ceil((duration * speed) / DAY_S)))
  const options = { ...optionsOf({ days: daysNeeded, ...flags }), startMs: Date.now(), speed, live: true }
  const end = new EarlyEnd('stopped: the front door did not answer in time')
  const stop = new AbortController()
  end.whenRequested(() => stop.abort())
  const startedAt = performance.now()
  try {
    const sending = sendWorld(
      world(options),
      {
        url,
        speed,
        durationMs: 1_000 * duration,
        eventsMax: flags.limit ?? EVENTS_MAX,
        token: flags.tokenFile === undefined ? undefined : tokenIn(flags.tokenFile),
        patienceMs: PATIENCE_MS,
      },
      stop.signal,
      say,
    )
    say(progressOf(await Promise.race([sending, end.abandoned]), performance.now() - startedAt, 0))
  } finally {
    end.close()
  }
}

/** The world's own defaults where nothing is said; with --rate as many events as make that rate at this speed. */
function optionsOf(flags: Flags): WorldOptions {
  const { rate, speed = 1 } = flags
  if (rate !== undefined && flags.events !== undefined) throw new HoldfastError('USAGE', 'either --rate or --events')
  const { users, pages, seed, days, ads } = { ...WORLD_DEFAULTS, ...flags }
  const events = rate === undefined ? (flags.events ?? WORLD_DEFAULTS.events) : Math.ceil((rate * days * DAY_S) / speed)
  // A few ads have no more campaigns than that.
  const campaigns = flags.campaigns ?? Math.min(WORLD_DEFAULTS.campaigns, ads)
  const advertisers = flags.advertisers ?? Math.min(WORLD_DEFAULTS.advertisers, campaigns)
  return { ...WORLD_DEFAULTS, users, pages, seed, days, ads, events, campaigns, advertisers }
}

function refuse(flags: Flags, names: readonly (keyof Flags)[], needed: string): void {
  for (const name of names) {
    if (flags[name] === undefined) continue
    const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    throw new HoldfastError('USAGE', `${option} goes with ${needed}`)
  }
}

function tokenIn(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot read the token: ${(error as Error).message}`)
  }
}

function speedOf(text: string): number {
  const speed = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && speed > 0 && speed <= SPEED_MAX) return speed
  throw new HoldfastError('USAGE', `--speed must be above 0 and at most ${SPEED_MAX}, not "${text}"`)
}
