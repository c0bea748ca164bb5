// `--svg FILE`: the compiled plan of declarations as a picture in a file, the same from whichever command asks for it.

import { writeFileSync } from 'node:fs'
import { HoldfastError } from '../../log/errors.ts'
import type { FeatureExplanation } from '../../topology/features/explanation.ts'
import { planPicture } from '../../topology/features/plan-picture.ts'

export const SVG_HELP = 'write what the compiler makes of the declared features as a picture, too'

/** Throws USAGE where the file cannot be written. */
export function writePicture(file: string, explanation: FeatureExplanation): void {
  try {
    writeFileSync(file, planPicture(explanation))
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot write ${file}: ${(error as Error).message}`)
  }
}
