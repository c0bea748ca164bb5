// docs/errors.md and the table in log/errors.ts say the same.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ERRORS } from '../../log/errors.ts'
import { errorDocs } from '../../scripts/error-docs.ts'
import { PROJECT_DIR } from './tree.ts'

const page = readFileSync(join(PROJECT_DIR, 'docs', 'errors.md'), 'utf8')

it('the page is what the table says', () => expect(page).toBe(errorDocs(ERRORS)))

it('a changed word, a new code and a lost code are all seen', () => {
  const { GAP, ...withoutGap } = ERRORS
  expect(errorDocs(withoutGap)).not.toBe(page)
  expect(errorDocs({ ...ERRORS, GAP: { ...GAP, todo: 'wait' } })).not.toBe(page)
  expect(errorDocs({ ...ERRORS, NEW_CODE: GAP })).not.toBe(page)
})
