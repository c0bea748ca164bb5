// Kill points for tests (reliability.md, section 3): HOLDFAST_KILL="K3:5" ends this process with SIGKILL the fifth time it
// passes K3. HOLDFAST_KILL_LOG names a file that gets the point's name first, so that a test can count what was hit.
// Without the variable a kill point costs one comparison and does nothing.

import { appendFileSync } from 'node:fs'
import { HoldfastError } from '../log/errors.ts'
import { type Runtime, realRuntime } from '../log/runtime.ts'

/** The real runtime, with the kill point that the environment names. */
export function runtimeOf(environment: NodeJS.ProcessEnv): Runtime {
  const wanted = environment.HOLDFAST_KILL
  if (wanted === undefined) return realRuntime
  const match = /^(K\d+):([1-9]\d*)$/.exec(wanted)
  if (match === null)
    throw new HoldfastError('USAGE', `HOLDFAST_KILL is a point and a count, such as K3:5, not "${wanted}"`)
  const [, point, count] = match
  let left = Number(count)
  return {
    ...realRuntime,
    killPoint: (name) => {
      if (name !== point || --left > 0) return
      const log = environment.HOLDFAST_KILL_LOG
      if (log !== undefined) appendFileSync(log, `${name}\n`)
      process.kill(process.pid, 'SIGKILL')
    },
  }
}
