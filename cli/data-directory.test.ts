// What a node's directory keeps of models that are only looked at, and what it was when they are refused.

import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { soundModel } from '../test/models/sound-model.ts'
import type { ModelFile } from '../topology/models/model-file.ts'
import { SCORING_DEFAULT } from '../topology/models/scoring-settings.ts'
import { openNodeDirectory, readShape } from './data-directory.ts'
import { livePlanOf } from './node-command.ts'
import { NODE_CONFIG_DEFAULT } from './settings.ts'

let path: string
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'holdfast-directory-'))
})
afterEach(() => rm(path, { recursive: true }))

function fileOf(version: number): ModelFile {
  const bytes = soundModel(version)
  return { bytes: Buffer.from(bytes), sha256: createHash('sha256').update(bytes).digest('hex') }
}
const [FIRST, SECOND] = [fileOf(1), fileOf(2)]

const open = (scoring: typeof SCORING_DEFAULT | 'off', ...shadows: ModelFile[]) =>
  openNodeDirectory(
    path,
    { namespace: 'n', partitions: 1, config: { ...NODE_CONFIG_DEFAULT, scoring }, shadows },
    livePlanOf,
  )
const kept = async () => (await readdir(join(path, 'shadows'))).sort()

it('keeps the shadows of its last start, beside the configuration that it was made with', async () => {
  await open(SCORING_DEFAULT, FIRST, SECOND)
  expect((await readShape(path)).shadows).toEqual([FIRST, SECOND])
  expect((await open('off', SECOND)).config.scoring).toEqual(SCORING_DEFAULT)
  expect((await readShape(path)).shadows).toEqual([SECOND])
  expect(await kept()).toEqual([SECOND.sha256])
  await open(SCORING_DEFAULT)
  expect([(await readShape(path)).shadows, await kept()]).toEqual([[], []])
})

it('DD3: is as it was where a shadow has nothing to stand beside', async () => {
  await open('off')
  const before = await readFile(join(path, 'node.json'), 'utf8')
  await expect(open(SCORING_DEFAULT, FIRST)).rejects.toThrow(/a shadow stands beside what scores/)
  expect(await readFile(join(path, 'node.json'), 'utf8')).toBe(before)
  expect((await readdir(path)).sort()).toEqual(['node.json', 'state'])
})
