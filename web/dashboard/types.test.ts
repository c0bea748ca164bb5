// The page has its own types (a browser's, not Node's), so the check of the project does not see it: this does.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const TSC = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'tsc')

it('the sources of the page agree with their types, and with those of the client', () => {
  const { status, stdout } = spawnSync(TSC, ['-p', import.meta.dirname, '--noEmit'], { encoding: 'utf8' })
  expect([status, stdout]).toEqual([0, ''])
})
