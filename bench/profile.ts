// Where the time of a piece of work goes: V8's sampling profiler around it, summed by function.

import { writeFile } from 'node:fs/promises'
import { type Profiler, Session } from 'node:inspector/promises'
import { relative } from 'node:path'

/** Fine enough that a second has thousands of samples, coarse enough that sampling does not become the work. */
const INTERVAL_US = 500
const TOP = 25

/** Runs `work` under the profiler; writes the profile to `path` (for a browser's tools) and its summary to `path`.txt. */
export async function profiled<T>(path: string, work: () => Promise<T>): Promise<T> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
  await session.post('Profiler.start')
  const result = await work()
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  await writeFile(path, JSON.stringify(profile))
  await writeFile(`${path}.txt`, summary(profile))
  return result
}

/** The functions with the most self time, one a line. */
function summary(profile: Profiler.Profile): string {
  const selfUs = new Map<string, number>()
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  profile.samples!.forEach((id, i) => {
    const name = names.get(id)!
    selfUs.set(name, (selfUs.get(name) ?? 0) + Math.max(0, profile.timeDeltas![i]!))
  })
  const totalUs = [...selfUs.values()].reduce((a, b) => a + b, 0)
  const top = [...selfUs].sort(([, a], [, b]) => b - a).slice(0, TOP)
  const lines = top.map(
    ([name, us]) =>
      `${((100 * us) / totalUs).toFixed(1).padStart(5)} %  ${(us / 1_000).toFixed(0).padStart(6)} ms  ${name}`,
  )
  return `${(totalUs / 1e6).toFixed(2)} s in all; self time by function:\n${lines.join('\n')}\n`
}

function nameOf({ functionName, url, lineNumber }: Profiler.Profile['nodes'][number]['callFrame']): string {
  const place = url === '' ? '' : ` ${relative(process.cwd(), url.replace(/^file:\/\//, ''))}:${lineNumber + 1}`
  return `${functionName === '' ? '(anonymous)' : functionName}${place}`
}
