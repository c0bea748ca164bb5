import { expect, it } from 'vitest'
import { clicks, computed, declared } from '../../test/features/declared.ts'
import { compileFeatures } from './compile.ts'
import { costsOf } from './costs.ts'
import { explainFeatures } from './explanation.ts'

const features = [
  clicks({ windows: ['1h', '7d'] } as object),
  clicks({ name: 'views', events: { types: ['page_view'] }, owner: 'others' } as object),
  computed('half', { derive: { op: 'divide', args: [{ feature: 'user.clicks_1h' }, { constant: 2 }] } }),
]
const [others, team] = costsOf(compileFeatures(declared(features))).owners
const bytes = Math.ceil(team!.bytesByEntity.user!)
const held = (quotas: Record<string, number>, some = features) => ({ ...declared(some), quotas })

it('an owner may keep as much as its quota, and no more; the refusal has the sum', () => {
  expect([others!.owner, team!.owner]).toEqual(['others', 'team'])
  expect(() => compileFeatures(held({ team: bytes }))).not.toThrow()
  const refused = `quota of team: its features keep up to ${bytes} bytes (user ${bytes}), ${bytes - 1} are allowed`
  expect(() => compileFeatures(held({ team: bytes - 1 }))).toThrow(refused)
  // Explained with what it would be without rules, which is more and does not run.
  expect(() => explainFeatures(held({ team: bytes }))).not.toThrow()
})

it('what nobody reads is not kept and does not count, and what is computed when it is read does not', () => {
  expect(() => compileFeatures(held({ team: 0 }), { served: ['user.views_7d'] })).not.toThrow()
  expect(() => compileFeatures(held({ team: 0 }))).toThrow('0 are allowed')
})

it.each([
  [{ taem: 5 }, 'quota of taem: nobody of this name has a feature'],
  [{ team: 1.5 }, 'quota of team: it must be a whole number of bytes'],
  [{ team: -1 }, 'quota of team: it must be a whole number of bytes'],
])('refuses %j', (quotas, message) => {
  expect(() => compileFeatures(held(quotas as Record<string, number>))).toThrow(message)
})
