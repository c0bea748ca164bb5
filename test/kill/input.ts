// The input of the kill tests: a stress file, and in its middle a burst of short lines that are no events: thousands of
// dead letters in one commit, more than one atomic batch takes, so that there is something between two of them (K3).

import { writeFile } from 'node:fs/promises'
import { stressLines } from '../generate/stress.ts'

const BURST_LINES = 3_500

/** Writes the file; the same options, the same bytes. `lines` counts those of the stress file. */
export async function writeInput(path: string, { lines, seed }: { lines: number; seed: number }): Promise<void> {
  const stress = [...stressLines({ lines, seed, latenessMs: 600_000, oldTwins: false })]
  const burst = Array.from({ length: BURST_LINES }, (_, i) => Buffer.from(`{"burst":${i}}\n`))
  const middle = Math.floor(lines / 2)
  await writeFile(path, Buffer.concat([...stress.slice(0, middle), ...burst, ...stress.slice(middle)]))
}
