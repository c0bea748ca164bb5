// Writes docs/errors.md from the table in log/errors.ts: `node scripts/error-docs.ts`. test/style/error-docs.test.ts compares.

import { writeFileSync } from 'node:fs'
import { ERRORS, type ErrorRow } from '../log/errors.ts'

const INTRODUCTION = `# Error codes

What stops a task or a command says one of these codes, then the facts that do not add up. \`halt\`: the task stops and a
person decides. \`retry\`: the program waits and tries again for ever. \`usage\`: the command ends with exit code 2.
A single bad event stops nothing: it becomes a dead letter.

This page is written by \`node scripts/error-docs.ts\` from log/errors.ts.
`

/** The page, from the table. */
export function errorDocs(errors: Readonly<Record<string, ErrorRow>>): string {
  const rows = Object.entries(errors).map(
    ([code, { meaning, decision, todo }]) => `| \`${code}\` | ${meaning} | ${decision} | ${todo} |`,
  )
  return `${INTRODUCTION}\n| code | meaning | decision | what to do |\n|---|---|---|---|\n${rows.join('\n')}\n`
}

if (import.meta.main) writeFileSync(new URL('../docs/errors.md', import.meta.url), errorDocs(ERRORS))
