import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import config from '../vitest.config.ts'
import { LONGEST, longestFirst } from './sequencer.ts'

it('has another file beside it', () => expect(config.test!.maxWorkers).toBeGreaterThanOrEqual(2))

it('begins the longest, and keeps the order of the others and all of them (SE1)', () => {
  const [longest, next] = LONGEST.map((path) => `/somewhere/${path}`)
  expect(longestFirst(['/b', next!, '/a/b', longest!, '/a'], (path) => path)).toEqual([
    longest,
    next,
    '/b',
    '/a/b',
    '/a',
  ])
  expect(longestFirst(['/x/other/test/docs.test.ts.old', '/y'], (path) => path)).toEqual([
    '/x/other/test/docs.test.ts.old',
    '/y',
  ])
})

it.each(LONGEST)('%s is a file', (path) => expect(existsSync(join(import.meta.dirname, '..', path))).toBe(true))
