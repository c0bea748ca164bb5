// R13: what flows where it must not is refused with the whole path; what may flow is not.

import { describe, expect, it } from 'vitest'
import { clicks, computed, declared, OPEN_POLICY, refusalOf } from '../../test/features/declared.ts'
import type { FeatureDeclaration, SourcePolicy } from './declaration.ts'

const MEASURED = { purpose: 'measurement', sensitivity: 'none' } as const
const ADS = { purpose: 'personalised_ads', sensitivity: 'personal' } as const
const VALUE = { field: 'value', as: 'number' } as const
const policy = (fields: SourcePolicy['fields'], types: SourcePolicy['types'] = {}): SourcePolicy => ({
  types: { ...OPEN_POLICY.types, ...types },
  fields,
})
const spend = (other: Partial<FeatureDeclaration>) =>
  clicks({
    name: 'spend',
    events: { types: ['conversion'] },
    aggregate: { fn: 'sum', of: VALUE, scale: 100 },
    windows: ['28d'],
    ...other,
  } as Partial<FeatureDeclaration>)
const twice = (of: string, other: object = {}) =>
  computed('twice', { derive: { op: 'add', args: [{ feature: of }, { feature: of }] }, ...other })

describe('a purpose is refused where what it is made of does not allow it:', () => {
  const refused = (features: FeatureDeclaration[], held: SourcePolicy) => refusalOf(declared(features, held))
  const measuredValue = policy({ 'conversion.value': MEASURED })

  it('what is aggregated', () => {
    expect(refused([spend({ purpose: 'personalised_ads' })], measuredValue)).toBe(
      'USAGE: feature user.spend_28d: its purpose personalised_ads is more than what it is made of allows: user.spend_28d <- conversion.value (allowed: measurement)',
    )
  })

  it('the filter', () => {
    const where = { op: 'less', args: [{ constant: 5 }, VALUE] } as const
    const large = clicks({ purpose: 'sharing', events: { types: ['conversion'], where } })
    expect(refused([large], measuredValue)).toContain('user.clicks_7d <- conversion.value (allowed: measurement)')
  })

  it('the key', () => {
    const held = policy({ user_id: { purpose: 'personalised_ads', sensitivity: 'none' } })
    expect(refused([clicks({ purpose: 'sharing' })], held)).toContain('<- click.user_id (allowed: personalised_ads)')
  })

  it('the event type', () => {
    const held = policy({}, { click: 'measurement' })
    expect(refused([clicks({ purpose: 'sharing' })], held)).toContain('user.clicks_7d <- click (allowed: measurement)')
  })

  it('an event type of which nothing is said', () => {
    const held = { types: { click: 'sharing' }, fields: {} } as const
    const views = clicks({ name: 'views', events: { types: ['click', 'page_view'] } })
    expect(refused([views], held)).toContain('user.views_7d <- page_view (allowed: nothing)')
  })

  it('a field of the touch', () => {
    const device = computed('device', {
      entity: 'context',
      context: { field: 'device', as: 'text' },
      purpose: 'sharing',
    })
    const held = policy({ 'click.device': MEASURED })
    expect(refused([device], held)).toContain('context.device <- click.device (allowed: measurement)')
  })

  it('through features that are derived of features, with every step', () => {
    const four = computed('four', {
      ratio: { of: 'user.twice', per: 'user.clicks_7d' },
      purpose: 'personalised_ads',
    })
    const features = [clicks({ purpose: 'sharing' }), spend({}), twice('user.spend_28d'), four]
    expect(refused(features, measuredValue)).toContain(
      'user.four <- user.twice <- user.spend_28d <- conversion.value (allowed: measurement)',
    )
  })

  it('a feature whose owner is stricter than the events', () => {
    const features = [clicks(), twice('user.clicks_7d', { purpose: 'sharing' })]
    expect(refused(features, OPEN_POLICY)).toContain('user.twice <- user.clicks_7d (allowed: measurement)')
  })
})

describe('a sensitivity is refused where it is below that of what it is made of:', () => {
  const personal = policy({ user_id: ADS })

  it('a count by user is as personal as the user', () => {
    expect(refusalOf(declared([clicks()], personal))).toBe(
      'USAGE: feature user.clicks_7d: its sensitivity "none" is less than that of what it is made of: user.clicks_7d <- click.user_id (personal)',
    )
  })

  it('and so is what is derived of it', () => {
    const features = [clicks({ sensitivity: 'personal' }), twice('user.clicks_7d')]
    expect(refusalOf(declared(features, personal))).toContain(
      'user.twice <- user.clicks_7d <- click.user_id (personal)',
    )
  })

  it('it may be above', () => {
    const features = [clicks({ sensitivity: 'special' }), twice('user.clicks_7d', { sensitivity: 'special' })]
    expect(refusalOf(declared(features, personal))).toBeNull()
  })
})

it('what is said of a field in all types and in one holds where it is strictest', () => {
  const inAll = { 'conversion.value': { purpose: 'sharing', sensitivity: 'none' }, value: MEASURED } as const
  const inOne = { value: { purpose: 'sharing', sensitivity: 'none' }, 'conversion.value': MEASURED } as const
  for (const fields of [inAll, inOne]) {
    const features = [spend({ purpose: 'sharing' })]
    expect(refusalOf(declared(features, policy(fields)))).toContain('conversion.value (allowed: measurement)')
  }
  const elsewhere = policy({ 'click.value': MEASURED })
  expect(refusalOf(declared([spend({ purpose: 'sharing' })], elsewhere))).toBeNull()
})

it.each([
  [policy({ 'conversoin.value': MEASURED }), '"conversoin.value": there is no event type "conversoin"'],
  [policy({ 'a b': MEASURED }), '"a b" is no field'],
  [policy({ event_time: MEASURED }), '"event_time" is in every event'],
  [policy({ 'click.event_id': MEASURED }), '"click.event_id" is in every event'],
  [policy({ value: { ...MEASURED, purpose: 'fun' as 'sharing' } }), 'the purpose of value must be one of'],
  [policy({ value: { ...MEASURED, sensitivity: 'low' as 'none' } }), 'the sensitivity of value must be one of'],
  [policy({}, { klick: 'sharing' } as object), '"klick" is no event type'],
  [policy({}, { click: 'fun' as 'sharing' }), 'what click is allowed for must be one of'],
])('a policy that protects nothing is refused (%#)', (held, message) => {
  expect(refusalOf(declared([], held))).toContain(message)
})

it('a policy may name props, in all types and in one', () => {
  const where = { op: 'present', args: [{ field: 'props.plan', as: 'text' }] } as const
  const features = [clicks({ purpose: 'sharing', events: { types: ['click'], where } })]
  for (const name of ['props.plan', 'click.props.plan'])
    expect(refusalOf(declared(features, policy({ [name]: MEASURED })))).toContain(
      '<- click.props.plan (allowed: measurement)',
    )
})
