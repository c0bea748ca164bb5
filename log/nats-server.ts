// The typed face of log/find-nats-server.mjs: which nats-server is good enough, and where there is one.
// Starting it is in log/nats-supervisor.ts.

import { HoldfastError } from './errors.ts'
import { locateNatsServer, versionProblem } from './find-nats-server.mjs'

export { versionProblem }

/**
 * Path of a nats-server binary that Holdfast is correct on, fetched when the machine has none (design.md, section 7).
 * `onProgress` gets a line before anything slow is done. Throws USAGE with what was tried and the step to take by hand.
 */
export async function findNatsServer(options: { onProgress?: (line: string) => void } = {}): Promise<string> {
  try {
    return await locateNatsServer(options)
  } catch (error) {
    throw new HoldfastError('USAGE', (error as Error).message)
  }
}
