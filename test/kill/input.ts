// The input of the kill tests: a stress file, or traffic for all features of the application, and in its middle a burst of short lines that are no events: thousands of
// dead letters in one commit, more than one atomic batch takes, so that there is something between two of them (K3).

import { writeFile } from 'node:fs/promises'
import { applicationInput } from '../features/application-input.ts'
import { stressLines } from '../generate/stress.ts'
import type { FeaturesName } from './trial.ts'

const BURST_LINES = 3_500

export interface InputOptions {
  /** Without the burst. */
  readonly lines: number
  readonly seed: number
  readonly features: FeaturesName
}

/** Writes the file; the same options, the same bytes. */
export async function writeInput(path: string, options: InputOptions): Promise<void> {
  const lines = options.features === null ? stress(options) : application(options)
  const burst = Array.from({ length: BURST_LINES }, (_, i) => Buffer.from(`{"burst":${i}}\n`))
  const middle = Math.floor(lines.length / 2)
  await writeFile(path, Buffer.concat([...lines.slice(0, middle), ...burst, ...lines.slice(middle)]))
}

const stress = ({ lines, seed }: InputOptions): Buffer[] => [
  ...stressLines({ lines, seed, latenessMs: 600_000, oldTwins: false }),
]

function application({ lines, seed }: InputOptions): Buffer[] {
  const text = applicationInput({ events: lines, seed }).toString()
  return text.match(/.*\n/g)!.map((line) => Buffer.from(line))
}
