// Kill points for tests (reliability.md, section 3): HOLDFAST_KILL="K3:5" ends this process with SIGKILL the fifth time it
// passes K3. HOLDFAST_KILL_LOG names a file that gets the point's name first, so that a test can count what was hit.
//   K5@clicks:2  the second time that a task of the stage clicks passes it.
//   K4        one turn of the event loop later: only then has the client handed the frame's bytes to the kernel.
//   K6:2+150  150 microseconds later: this thread stands still meanwhile, RocksDB's does not.
//   K11:3+9000  SIGTERM at the third commit, SIGKILL 9,000 microseconds later, unless the process has ended by then.
//   count     kills nothing; the log gets how often each point was passed, in all and by stage, as JSON: a line from each thread when it ends.
// Without the variable a kill point costs one comparison and does nothing.
// KP1: passes are counted over all threads of the process together, so that one of them is the fifth, and only one.

import { appendFileSync } from 'node:fs'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import { HoldfastError } from '../log/errors.ts'
import { type Runtime, realRuntime } from '../log/runtime.ts'

type KillPoint = Runtime['killPoint']

/** The name under which threads started later find the passes that are left. */
const PASSES_LEFT = 'holdfast kill point: passes left'

/** The real runtime, with the kill point that the environment names. In every thread the same call. */
export function runtimeOf(environment: NodeJS.ProcessEnv): Runtime {
  const { HOLDFAST_KILL: wanted, HOLDFAST_KILL_LOG: log } = environment
  if (wanted === undefined) return realRuntime
  const say = (line: string) => {
    if (log !== undefined) appendFileSync(log, `${line}\n`)
  }
  return { ...realRuntime, killPoint: wanted === 'count' ? counting(say) : killing(wanted, say) }
}

function killing(wanted: string, say: (line: string) => void): KillPoint {
  const match = /^(K\d+)(?:@([a-z][a-z0-9-]*))?:([1-9]\d*)(?:\+(\d+))?$/.exec(wanted)
  if (match === null)
    throw new HoldfastError('USAGE', `HOLDFAST_KILL is a point and a count, such as K3:5, not "${wanted}"`)
  const point = match[1]!
  const stage = match[2]
  const delayUs = Number(match[4] ?? 0)
  const passed = point === 'K11' ? 'K2' : point
  const left = passesLeft(Number(match[3]))
  return (name, by) => {
    if (name !== passed || (stage !== undefined && stageOf(by) !== stage)) return
    if (Atomics.sub(left, 0, 1) !== 1) return
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

/** KP1. The main thread makes the counter, the others get it when they start. */
function passesLeft(passes: number): Int32Array {
  if (isMainThread) {
    const shared = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(passes)
    setEnvironmentData(PASSES_LEFT, shared)
    return shared
  }
  return getEnvironmentData(PASSES_LEFT) as Int32Array
}

function standStill(us: number): void {
  const end = performance.now() + us / 1_000
  while (performance.now() < end);
}

function counting(say: (line: string) => void): KillPoint {
  const counts: Record<string, number> = {}
  process.once('exit', () => say(JSON.stringify(counts)))
  return (name, by) => {
    for (const what of by === undefined ? [name] : [name, `${name}@${stageOf(by)}`])
      counts[what] = (counts[what] ?? 0) + 1
  }
}

/** Of a task's name; the reader of a file has no partition. */
const stageOf = (by: string | undefined): string | undefined => by?.replace(/-\d+$/, '')
