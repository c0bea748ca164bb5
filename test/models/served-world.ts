// A generated world that drifts (test/models/drift-world.ts) as the stream sees it: its touches and conversions as events of a file, and
// what `holdfast run` leaves of them.
// SW1: an event says the advertiser, the ad, and as campaign whom the advertiser aims it at (its segment). Nobody is told the device, so
//      that the truth knows a little more than any model of the stream can.
// SW2: each touch is of a person of its own: whom a conversion is credited to is what the world says, no matter of attribution here.
// SW3: the run sees the world's days and nothing after them, as the policies that it is compared with (test/models/policies.ts).

import { execFile } from 'node:child_process'
import { writeFile as writeText } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type FileScore, readScores } from '../../cli/evaluate/score-lines.ts'
import { writeFile } from '../../cli/generate/write-file.ts'
import { NODE_ENVIRONMENT } from '../../cli/node-flags.mjs'
import { readConfig } from '../../cli/settings.ts'
import { jsonLines, nameOf } from '../../cli/train/labelled-touches.ts'
import { assert } from '../../log/errors.ts'
import type { ModelRecord } from '../../operators/model-records.ts'
import { PROJECT_DIR } from '../e2e/command.ts'
import { DAY_MS, DAYS, type World } from './drift-world.ts'

/** The first day of the world, at its beginning in UTC: candidates are made at the ends of days. */
export const FIRST_MS = 20_000 * DAY_MS
export const WINDOW = '30d_click'
/** A world of 300,000 touches takes two or three minutes on two cores; a run that hangs still ends. */
const RUN_MS_MAX = 1_200_000

/** What the run is told beside the defaults: one window, as the world has, and whatever of `scoring` is not left to itself. */
export const configWith = (scoring: object) => ({
  attribution: { windows: [{ name: WINDOW, click: '30d' }] },
  scoring: { period: '1d', ...scoring },
})

export const userOf = (touch: number): string => `u${touch}`
export const idOf = (touch: number): string => `k${touch}`

/** What a touch says of its ad. */
export const factsOf = ({ advertisers, ads, segments }: World, touch: number) => ({
  advertiser: `adv${advertisers[touch]}`,
  campaign: `adv${advertisers[touch]}-to-${segments[touch]}`,
  ad: `ad${ads[touch]}`,
})

/** Events of the world's days, rising in time. */
export function* eventsOf(world: World): Generator<Buffer> {
  const { timesMs, delaysMs } = world
  const events: { readonly timeMs: number; readonly event: object }[] = []
  for (const [i, timeMs] of timesMs.entries()) {
    const user_id = userOf(i)
    const { advertiser: advertiser_id, campaign: campaign_id, ad: ad_id } = factsOf(world, i)
    const touch = { type: 'click', event_id: idOf(i), click_id: idOf(i), user_id, advertiser_id, campaign_id, ad_id }
    events.push({ timeMs, event: touch })
    const convertedMs = timeMs + delaysMs[i]!
    // SW3. NaN: it does not convert.
    if (!(convertedMs < DAYS * DAY_MS)) continue
    const sale = { type: 'conversion', event_id: `s${i}`, order_id: `s${i}`, user_id, advertiser_id, value: 1 }
    events.push({ timeMs: convertedMs, event: sale })
  }
  events.sort((a, b) => a.timeMs - b.timeMs)
  for (const { timeMs, event } of events)
    yield Buffer.from(`${JSON.stringify({ ...event, event_time: FIRST_MS + timeMs })}\n`)
}

export interface ServedRun {
  readonly world: World
  /** The file of events; the directories of results, and of the run's log. */
  readonly events: string
  readonly out: string
  readonly data: string
  readonly config: ReturnType<typeof readConfig>
  /** What was said of each touch of the world, by its number. */
  readonly scores: readonly FileScore[]
  /** Candidates, published or refused, in the order in which they were made. */
  readonly models: readonly ModelRecord[]
}

/** Runs a world through `holdfast run` in an empty directory. */
export async function servedRun(world: World, dir: string, scoring: object): Promise<ServedRun> {
  const at = (name: string) => join(dir, name)
  const files = { events: at('events.ndjson'), out: at('results'), data: at('data') }
  await writeFile(files.events, eventsOf(world))
  await writeText(at('config.json'), JSON.stringify(configWith(scoring)))
  const into = ['--out', files.out, '--data-dir', files.data]
  const run = ['run', '--json', '--drain', '--config', at('config.json'), '--input', files.events, ...into]
  const environment = { env: { ...NODE_ENVIRONMENT, ...process.env }, timeout: RUN_MS_MAX }
  await promisify(execFile)(process.execPath, [join(PROJECT_DIR, 'cli', 'main.ts'), ...run], environment)
  const { served } = await readScores(join(files.out, 'scores.ndjson'))
  const scores = Array.from(world.timesMs, (_, i) => {
    const score = served.get(nameOf(userOf(i), idOf(i)))
    assert(score !== undefined, `touch ${i} has a score`)
    return score
  })
  const models: ModelRecord[] = []
  for await (const { value } of jsonLines(join(files.out, 'models.ndjson'))) models.push(value as ModelRecord)
  models.sort((a, b) => a.at - b.at)
  return { world, ...files, config: readConfig(at('config.json')), scores, models }
}

/** How far time went in a run before its input ended: behind the newest event by the lateness. */
export function lastWatermarkMs({ world: { timesMs, delaysMs }, config }: Pick<ServedRun, 'world' | 'config'>): number {
  const endMs = DAYS * DAY_MS
  const last = timesMs.reduce((newest, timeMs, i) => {
    const convertedMs = timeMs + delaysMs[i]!
    return Math.max(newest, timeMs, convertedMs < endMs ? convertedMs : 0)
  }, 0)
  return FIRST_MS + last - config.latenessMs - 1
}
