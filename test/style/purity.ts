// An operator depends on its record and its store: no clock, no chance, no timers (design.md, section 1).

import { codeLines, isTest, type Tree } from './tree.ts'

const IMPURE =
  /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\s*\)|\bperformance\b|\bprocess\.(hrtime|uptime|env)\b|\bMath\.random\b|\brandom(UUID|Bytes|Int|FillSync)\b|\bgetRandomValues\b|\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bawait\b|\basync\b/

/** One line for each clock, random number, timer or await under operators/ and ml/. */
export function impureLines(tree: Tree): string[] {
  return [...tree]
    .filter(([path]) => /^(operators|ml)\//.test(path) && !isTest(path))
    .flatMap(([path, text]) =>
      codeLines(text).flatMap((line, i) => (IMPURE.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
    )
}
