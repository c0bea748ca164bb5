// `holdfast query attribution --data-dir` after a run: of every conversion of a nasty file it explains just the lines that the run has
// written, whoever is credited by whichever model, and says of the others why nobody is.

import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { planOfDirectory } from '../../cli/inspect-commands.ts'
import { attributionAnswer } from '../../sinks/attribution-format.ts'
import type { AttributionAnswer } from '../../sinks/attribution-schemas.ts'
import type { Backend } from '../../state/backend.ts'
import { openRocksBackend } from '../../state/rocks-backend.ts'
import { attributionInStates } from '../../topology/attribution-reads.ts'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { holdfast, workDirectory } from './command.ts'

const EVENTS = 2_500
/** Of the file: the busy days, so that nothing of them is older than what is kept. */
const BUSY_LINES = 2_250
const CONFIG = {
  attribution: {
    lateTouches: 'revise',
    models: ['last_touch', 'first_touch', 'linear', { name: 'time_decay', halfLife: '3d' }, 'position'],
  },
}

interface Line {
  readonly conversion_id: string
  readonly user_id: string
  readonly conversion_time: number
  readonly window: string
  readonly model: string
  readonly touch_id: string | null
  readonly touch_type: string | null
  readonly touch_time: number | null
  readonly credit: number
  readonly revision?: number
}

let work: Awaited<ReturnType<typeof workDirectory>>
let lines: readonly Line[]
const opened = new Map<string, Backend>()

beforeAll(async () => {
  work = await workDirectory()
  const all = [...joinerStress({ ...JOINER_STRESS_DEFAULTS, events: EVENTS }).lines]
  await writeFile(join(work.path, 'events.ndjson'), Buffer.concat(all.slice(0, BUSY_LINES)))
  await writeFile(join(work.path, 'config.json'), JSON.stringify(CONFIG))
  const options = ['--config', 'config.json', '--data-dir', 'data', '--partitions', '2', '--threads', '2']
  const ended = await holdfast(['run', '--input', 'events.ndjson', '--out', 'out', '--drain', ...options], {
    cwd: work.path,
  })
  expect(ended.code, ended.stderr).toBe(0)
  const text = readFileSync(join(work.path, 'out', 'attributions.ndjson'), 'utf8')
  lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
})
afterAll(async () => {
  await Promise.all([...opened.values()].map((backend) => backend.close()))
  await work[Symbol.asyncDispose]()
})

/** A backend that stays open: opening one takes longer than all that is asked of it. */
async function keptOpen(task: string): Promise<Backend> {
  const backend = opened.get(task) ?? (await openRocksBackend(join(work.path, 'data', 'state', task)))
  opened.set(task, backend)
  return {
    multiGet: (keys) => backend.multiGet(keys),
    scan: (...range) => backend.scan(...range),
    last: (...range) => backend.last(...range),
    snapshot: () => backend.snapshot(),
    flush: () => backend.flush(),
    write: () => Promise.reject(new Error('a question writes nothing')),
    close: async () => {},
  }
}

const nameOf = (line: Line): string =>
  JSON.stringify([line.window, line.model, line.touch_type, line.touch_id, line.touch_time, line.credit])

/** The lines that an answer explains. */
function explainedLines({ touches, windows }: AttributionAnswer['attributions'][number]): string[] {
  const nobody = { touch_type: null, touch_id: null, touch_time: null, credit: 0 }
  return windows.flatMap(({ window, models }) =>
    models.flatMap(({ model, credits }) => {
      const credited = credits.map(({ touch, credit }) => {
        const { type, touch_id, event_time } = touches[touch]!
        return { touch_type: type, touch_id, touch_time: event_time, credit }
      })
      const all = credited.length === 0 ? [nobody] : credited
      return all.map((one) => nameOf({ window, model, ...one } as unknown as Line))
    }),
  )
}

it('explains every line that was written, and no other', async () => {
  const plan = await planOfDirectory(join(work.path, 'data'))
  const ids = [...new Set(lines.map(({ conversion_id }) => conversion_id))]
  let [conversions, revised, shared] = [0, 0, 0]
  for (const id of ids) {
    const answer = attributionAnswer(await attributionInStates(plan, id, keptOpen))
    if ('error' in answer) throw new Error(`${id}: ${answer.error.message}`)
    const written = Map.groupBy(
      lines.filter((line) => line.conversion_id === id),
      ({ user_id, conversion_time }) => `${user_id} ${conversion_time}`,
    )
    const told = answer.body.attributions.filter(({ windows }) => windows.length > 0)
    expect(told.map(({ user_id, event_time }) => `${user_id} ${event_time}`).sort()).toEqual([...written.keys()].sort())
    for (const one of told) {
      const own = written.get(`${one.user_id} ${one.event_time}`)!
      const last = own.filter(({ revision = 0 }) => revision === one.revision)
      expect(one.revision).toBe(Math.max(...own.map(({ revision = 0 }) => revision)))
      expect(explainedLines(one).sort()).toEqual(last.map(nameOf).sort())
      conversions++
      if (one.revision > 0) revised++
      if (one.touches.length > 1) shared++
    }
  }
  // The file has what makes a difference.
  expect(conversions).toBeGreaterThan(200)
  expect(revised).toBeGreaterThan(0)
  expect(shared).toBeGreaterThan(50)
})

it('is what the command prints, as text and as JSON; one that is not known ends with 2', async () => {
  const [{ conversion_id }] = lines.filter(({ touch_id }) => touch_id !== null) as [Line]
  for (const backend of opened.values()) await backend.close()
  opened.clear()
  const ask = (...args: string[]) =>
    holdfast(['query', 'attribution', ...args, '--data-dir', 'data'], { cwd: work.path })
  const text = await ask(conversion_id)
  expect([text.code, text.stderr]).toEqual([0, ''])
  expect(text.stdout).toMatch(new RegExp(`^conversion ${conversion_id} of .*time_decay +.*complete through `, 's'))
  const { conversion_id: told, attributions } = JSON.parse((await ask(conversion_id, '--json')).stdout)
  expect([told, attributions[0].outcome]).toEqual([conversion_id, 'credited'])
  const { code, stdout, stderr } = await ask('nobody-has-it')
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/no conversion of this id was attributed lately.*\(UNKNOWN_CONVERSION\)\n$/)
})
