// Kill points for tests (reliability.md, section 3): HOLDFAST_KILL="K3:5" ends this process with SIGKILL the fifth time it
// passes K3. HOLDFAST_KILL_LOG names a file that gets the point's name first, so that a test can count what was hit.
//   K4        one turn of the event loop later: only then has the client handed the frame's bytes to the kernel.
//   K6:2+150  150 microseconds later: this thread stands still meanwhile, RocksDB's does not.
//   K11:3+9000  SIGTERM at the third commit, SIGKILL 9,000 microseconds later, unless the process has ended by then.
//   count     kills nothing; the log gets how often each point was passed, as JSON, when the process ends.
// Without the variable a kill point costs one comparison and does nothing.

import { appendFileSync } from 'node:fs'
import { HoldfastError } from '../log/errors.ts'
import { type Runtime, realRuntime } from '../log/runtime.ts'

type KillPoint = Runtime['killPoint']

/** The real runtime, with the kill point that the environment names. */
export function runtimeOf(environment: NodeJS.ProcessEnv): Runtime {
  const { HOLDFAST_KILL: wanted, HOLDFAST_KILL_LOG: log } = environment
  if (wanted === undefined) return realRuntime
  const say = (line: string) => {
    if (log !== undefined) appendFileSync(log, `${line}\n`)
  }
  return { ...realRuntime, killPoint: wanted === 'count' ? counting(say) : killing(wanted, say) }
}

function killing(wanted: string, say: (line: string) => void): KillPoint {
  const match = /^(K\d+):([1-9]\d*)(?:\+(\d+))?$/.exec(wanted)
  if (match === null)
    throw new HoldfastError('USAGE', `HOLDFAST_KILL is a point and a count, such as K3:5, not "${wanted}"`)
  const point = match[1]!
  const delayUs = Number(match[3] ?? 0)
  const passed = point === 'K11' ? 'K2' : point
  let left = Number(match[2])
  return (name) => {
    if (name !== passed || --left !== 0) return
    const die = () => {
      say(point)
      process.kill(process.pid, 'SIGKILL')
    }
    if (point === 'K4') setImmediate(die)
    else if (point === 'K11') {
      process.kill(process.pid, 'SIGTERM')
      setTimeout(die, delayUs / 1_000).unref()
    } else {
      standStill(delayUs)
      die()
    }
  }
}

function standStill(us: number): void {
  const end = performance.now() + us / 1_000
  while (performance.now() < end);
}

function counting(say: (line: string) => void): KillPoint {
  const counts: Record<string, number> = {}
  process.once('exit', () => say(JSON.stringify(counts)))
  return (name) => {
    counts[name] = (counts[name] ?? 0) + 1
  }
}
