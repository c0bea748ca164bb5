// The `model` control record: what is read of it, what is none, and which version scores when. Of configurations: task-config.test.ts.

import { expect, it } from 'vitest'
import type { ActiveModel } from '../operators/model-records.ts'
import type { ControlRecord } from './commit-record.ts'
import { decodeControl, encodeModel, MODELS_BEFORE_MAX, modelAt, withControl } from './control.ts'

const activeFrom = (activation: number, from: number, version = activation): ActiveModel => {
  return { activation, from, version, sha256: String(activation % 10).repeat(64), schema: 'of features' }
}

it('a model record is read as it was written', () => {
  const body = activeFrom(3, 70)
  expect(decodeControl(JSON.parse(encodeModel(body)))).toEqual({
    ...{ hf: 'model', kind: 'model', activation: 3, from: 70 },
    body,
  })
})

it.each([
  ['no activation', { activation: 0 }],
  ['no whole time', { from: 1.5 }],
  ['a time before all', { from: -1 }],
  ['no version', { version: 0 }],
  ['half a hash', { sha256: 'ab'.repeat(31) }],
  ['a path for a hash', { sha256: `../${'a'.repeat(61)}` }],
  ['no schema', { schema: null }],
])('with %s it is none', (_, wrong) => {
  expect(decodeControl({ ...JSON.parse(encodeModel(activeFrom(3, 70))), ...wrong })).toBeNull()
})

it('the version of the highest activation begun scores; one of a lower activation than a known one is ignored', () => {
  const told = [activeFrom(1, 10), activeFrom(3, 40), activeFrom(2, 20), activeFrom(4, 30, 1)]
  const controls = told.reduce<ReturnType<typeof withControl>>(
    (known, model) => withControl(known, decodeControl(JSON.parse(encodeModel(model))) as never, 5),
    [],
  )
  const versions = [9, 10, 20, 29, 30, 40].map((at) => modelAt(controls, at)?.version ?? null)
  expect(versions).toEqual([null, 1, 1, 1, 1, 1])
  expect(modelAt(controls, 29)?.activation).toBe(1)
  expect(modelAt(controls, 40)?.activation).toBe(4)
})

it('what is of another kind stays, whatever becomes of versions', () => {
  const config: ControlRecord = { kind: 'another', activation: 9, from: 3, body: null }
  let controls: readonly ControlRecord[] = [config]
  for (let n = 1; n <= 5; n++)
    controls = withControl(controls, decodeControl(JSON.parse(encodeModel(activeFrom(n, 10 * n)))) as never, 10 * n - 5)
  expect(controls.filter(({ kind }) => kind === 'another')).toEqual([config])
  expect(modelAt(controls, 50)?.version).toBe(5)
})

it('behind the one that scores, those before it are told, and no more are kept', () => {
  let controls: ReturnType<typeof withControl> = []
  // Each is read before it holds, and time comes to it before the next is.
  for (let n = 1; n <= 9; n++) {
    controls = withControl(controls, decodeControl(JSON.parse(encodeModel(activeFrom(n, 10 * n)))) as never, 10 * n - 5)
    expect(controls.length).toBeLessThanOrEqual(MODELS_BEFORE_MAX + 2)
    const told = (at: number) => {
      const active = modelAt(controls, at)
      return active === null ? [] : [active, ...(active.before ?? [])].map(({ version }) => version)
    }
    const expected = (last: number) => [last, last - 1, last - 2].filter((version) => version > 0)
    expect([told(10 * n - 4), told(10 * n)]).toEqual([expected(n - 1), expected(n)])
  }
})
