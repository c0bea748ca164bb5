// Declarations as JSON: what the application declares goes through a file unchanged; what is wrong is named by its field.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { APPLICATION } from '../../topology/features/application.ts'
import { compileFeatures } from '../../topology/features/compile.ts'
import { readDeclarations } from './declarations-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-declarations-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const path = join(dir, 'features.json')

function read(value: unknown): ReturnType<typeof readDeclarations> {
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value))
  return readDeclarations(path)
}
function complaint(value: unknown): string {
  try {
    read(value)
    return 'nothing'
  } catch (error) {
    return (error as Error).message.replace(path, 'FILE')
  }
}

const CLICKS = {
  ...{ name: 'clicks', entity: 'user', description: 'clicks', owner: 'team' },
  ...{ purpose: 'measurement', sensitivity: 'none', retentionDays: 28 },
  ...{ events: { types: ['click'] }, aggregate: { fn: 'count' }, windows: ['7d'] },
}
const { aggregate, events, windows, ...DESCRIBED } = CLICKS
const file = (...features: object[]) => ({
  entities: [{ name: 'user', key: ['user_id'], partition: 'user_id' }],
  features,
  policy: { types: { click: 'sharing' }, fields: {} },
})

it('the application goes through a file unchanged, and means the same', () => {
  expect(read(APPLICATION)).toEqual(JSON.parse(JSON.stringify(APPLICATION)))
  expect(compileFeatures(readDeclarations(path)).groups).toEqual(compileFeatures(APPLICATION).groups)
})

it('no file is the application', () => expect(readDeclarations(undefined)).toBe(APPLICATION))

describe('what is wrong is named:', () => {
  it.each<[unknown, string]>([
    ['{', 'cannot read FILE: Expected property name'],
    [[], 'FILE: declarations must be an object'],
    [{ entities: [], features: [] }, 'FILE: declarations needs "policy"'],
    [{ ...file(), more: 1 }, 'declarations has an unknown field "more"; there are entities, features, policy'],
    [{ ...file(), features: {} }, 'declarations.features must be a list'],
    [
      { ...file(), entities: [{ name: 'user', key: 'user_id', partition: 'user_id' }] },
      'declarations.entities[0].key must be a list',
    ],
    [{ ...file(), policy: { types: { click: 1 }, fields: {} } }, 'declarations.policy.types["click"] must be a text'],
    [
      { ...file(), policy: { types: {}, fields: { value: { purpose: 'sharing' } } } },
      'declarations.policy.fields["value"] needs "sensitivity"',
    ],
    [file(DESCRIBED), 'declarations.features[0] must have one of aggregate, derive, rate, ratio, context'],
    [file({ ...CLICKS, derive: {} }), 'declarations.features[0] must have one of aggregate, derive'],
    [file(CLICKS, { ...CLICKS, owner: 5 }), 'declarations.features[1].owner must be a text'],
    [
      file({ ...CLICKS, windws: ['7d'] }),
      'declarations.features[0] has an unknown field "windws"; there are name, entity',
    ],
    [file({ ...CLICKS, within: '7d' }), 'declarations.features[0] has an unknown field "within"'],
    [file({ ...CLICKS, windows: '7d' }), 'declarations.features[0].windows must be a list'],
    [file({ ...CLICKS, default: null }), 'declarations.features[0].default must be a number or a text'],
    [
      file({ ...CLICKS, aggregate: { fn: 'median' } }),
      'declarations.features[0].aggregate.fn must be one of count, sum',
    ],
    [file({ ...CLICKS, aggregate: { fn: 'since' } }), 'declarations.features[0] has an unknown field "windows"'],
    [
      file({ ...CLICKS, aggregate: { fn: 'sum', of: { field: 'value', as: 'number' } } }),
      'declarations.features[0].aggregate needs "scale"',
    ],
    [
      file({ ...CLICKS, events: { types: ['click'], where: { op: 'not', args: [{ fild: 'x' }] } } }),
      'declarations.features[0].events.where.args[0] must have one of field, constant, feature, op',
    ],
    [
      file({ ...DESCRIBED, rate: { of: 'a', per: 'b', prior: '0.1', weight: 1 } }),
      'declarations.features[0].rate.prior must be a number',
    ],
    [file({ ...DESCRIBED, ratio: { of: 'a' } }), 'declarations.features[0].ratio needs "per"'],
    [
      file({ ...DESCRIBED, context: { field: 'x', as: 'text', or: 1 } }),
      'declarations.features[0].context has an unknown field "or"',
    ],
  ])('%#', (value, message) => expect(complaint(value)).toContain(message))

  it('an expression nested far too deep, by the compiler and without an overflow', () => {
    const deep = `${'{"op":"not","args":['.repeat(5_000)}{"constant":true}${']}'.repeat(5_000)}`
    const text = JSON.stringify(file({ ...CLICKS, events: { types: ['click'], where: 0 } })).replace(
      '"where":0',
      `"where":${deep}`,
    )
    expect(() => compileFeatures(read(text))).toThrow('nested more than 32 deep')
  })
})
