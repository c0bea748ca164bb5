// The independent oracle with all features of the CVR application: recomputes from the raw lines of an input file what
// `holdfast run --features application --out DIR` must have written, and compares it with DIR line by line.
//
//     node test/oracle/features.ts --input FILE[.gz] --out DIR [the options of oracle.ts]
//
// Prints and exits as oracle.ts does. It imports nothing of the project (independence.test.ts checks).

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { applicationFeatures, type ExpectedFeature } from './application-features.ts'
import { compare, DEFAULTS, type Expected, recompute, runOracle, type Settings } from './oracle.ts'

export interface ExpectedApplication extends Expected {
  readonly features: readonly ExpectedFeature[]
}

/** Everything the files of a run with the application must say. */
export function recomputeApplication(file: Buffer, settings: Settings = DEFAULTS): ExpectedApplication {
  return recompute(file, settings, applicationFeatures)
}

/** One text per difference between what is expected and the files in the directory. */
export function compareApplication(expected: ExpectedApplication, dir: string): string[] {
  const found = foundIn(join(dir, 'features.ndjson'))
  const features = expected.features.map(({ mayBe, ...feature }) => {
    const value = found.get(nameOf(feature))
    return mayBe?.(value) === true ? { ...feature, value: value as ExpectedFeature['value'] } : feature
  })
  return compare({ ...expected, features }, dir)
}

/** By name, what lines say that can be read; the comparison finds the others. */
function foundIn(path: string): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>()
  if (!existsSync(path)) return found
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    try {
      const row = JSON.parse(line)
      found.set(nameOf(row), row.value)
    } catch {}
  }
  return found
}

const nameOf = ({ entity, feature, key }: Pick<ExpectedFeature, 'entity' | 'feature' | 'key'>): string =>
  JSON.stringify([entity, feature, key])

if (import.meta.main) {
  process.exitCode = runOracle('features.ts', process.argv.slice(2), (file, settings, out) =>
    compareApplication(recomputeApplication(file, settings), out),
  )
}
