// The features of the CVR application: what is known of a user, an ad, both together and the moment when an ad is touched.
// AP1: a name keeps its meaning for ever: models and training rows know features by name. Another meaning gets another name.
// AP2: what an ad is made of is kept with its advertiser, and every cross with its user: two stages hold all that a touch needs.
// How declarations are written is in docs/features.md.

import type { EventType } from '../../operators/event.ts'
import type { Expression, ValueType } from '../../operators/expression.ts'
import {
  CONTEXT,
  type Declarations,
  type EntityDeclaration,
  type EventSelection,
  type FeatureDeclaration,
  type SourcePolicy,
} from './declaration.ts'

const ENTITIES: readonly EntityDeclaration[] = [
  { name: 'user', key: ['user_id'], partition: 'user_id' },
  { name: 'page', key: ['page_id'], partition: 'page_id' },
  { name: 'ad', key: ['advertiser_id', 'ad_id'], partition: 'advertiser_id' },
  { name: 'campaign', key: ['advertiser_id', 'campaign_id'], partition: 'advertiser_id' },
  { name: 'advertiser', key: ['advertiser_id'], partition: 'advertiser_id' },
  { name: 'user_advertiser', key: ['user_id', 'advertiser_id'], partition: 'user_id' },
  { name: 'user_campaign', key: ['user_id', 'campaign_id'], partition: 'user_id' },
  { name: 'user_ad', key: ['user_id', 'ad_id'], partition: 'user_id' },
]

/** What people did may choose their ads; what they paid is measured, and no more. Consent and erasures make no features. */
const POLICY: SourcePolicy = {
  types: {
    page_view: 'personalised_ads',
    impression: 'personalised_ads',
    click: 'personalised_ads',
    add_to_cart: 'personalised_ads',
    checkout: 'personalised_ads',
    lead: 'personalised_ads',
    conversion: 'personalised_ads',
  },
  fields: {
    user_id: { purpose: 'personalised_ads', sensitivity: 'personal' },
    country: { purpose: 'personalised_ads', sensitivity: 'personal' },
    order_id: { purpose: 'measurement', sensitivity: 'personal' },
    'conversion.value': { purpose: 'measurement', sensitivity: 'none' },
  },
}

// --- what declarations have in common

type Common = Omit<FeatureDeclaration, 'name' | 'description'>
const ADS = { purpose: 'personalised_ads', sensitivity: 'none' } as const
const PERSONAL = { purpose: 'personalised_ads', sensitivity: 'personal' } as const
/** Money is measured only. */
const MEASURED = { purpose: 'measurement' } as const
/** The longest window and a week to look into what happened. */
const RETENTION = { retentionDays: 35 } as const

const USER = { entity: 'user', owner: 'profiles', ...PERSONAL, ...RETENTION } as const satisfies Common
const PAGE = { entity: 'page', owner: 'content', ...ADS, ...RETENTION } as const satisfies Common
const AD = { entity: 'ad', owner: 'delivery', ...ADS, ...RETENTION } as const satisfies Common
const CAMPAIGN = { entity: 'campaign', owner: 'delivery', ...ADS, ...RETENTION } as const satisfies Common
const ADVERTISER = { entity: 'advertiser', owner: 'advertisers', ...ADS, ...RETENTION } as const satisfies Common
const USER_ADVERTISER = { ...USER, entity: 'user_advertiser', owner: 'ranking' } as const satisfies Common
const USER_CAMPAIGN = { ...USER, entity: 'user_campaign', owner: 'ranking' } as const satisfies Common
const USER_AD = { ...USER, entity: 'user_ad', owner: 'ranking' } as const satisfies Common
const TOUCH = { entity: CONTEXT, owner: 'ranking', ...ADS, ...RETENTION } as const satisfies Common

const on = (...types: EventType[]): EventSelection => ({ types })
const field = (name: string, as: ValueType = 'text'): Expression => ({ field: name, as })
const COUNT = { fn: 'count' } as const
const SINCE = { fn: 'since' } as const
const counted = (...types: EventType[]) => ({ events: on(...types), aggregate: COUNT })

const EVENT_TIME = field('event_time', 'number')
const VALUE = field('value', 'number')
/** Money is summed by currency (contract.md, section 6); refunds are not sales. */
const SALES: EventSelection = {
  types: ['conversion'],
  where: {
    op: 'and',
    args: [
      { op: 'equal', args: [field('currency'), { constant: 'USD' }] },
      { op: 'not', args: [{ op: 'present', args: [field('refund_of')] }] },
      { op: 'at_most', args: [{ constant: 0 }, VALUE] },
    ],
  },
}
/** Micro-units: as exact as an event's value is kept. */
const MONEY_SCALE = 1_000_000
const MONEY = { of: VALUE, scale: MONEY_SCALE } as const
/** Conversions that name no order that they take back. Whether one takes back by a negative value is for measurement to see. */
const ORDERS: EventSelection = {
  types: ['conversion'],
  where: { op: 'not', args: [{ op: 'present', args: [field('refund_of')] }] },
}
/** Before anything is known of it, an ad is taken to be clicked once in a hundred times; 200 impressions outweigh that. */
const CLICK_PRIOR = { prior: 0.01, weight: 200 } as const
/** A click is taken to bring an order once in fifty times; 50 clicks outweigh that. */
const ORDER_PRIOR = { prior: 0.02, weight: 50 } as const
const DAY_S = 86_400

// --- the features

const user: readonly FeatureDeclaration[] = [
  { ...USER, name: 'page_views', description: 'Pages seen', ...counted('page_view'), windows: ['1h', '24h', '7d'] },
  { ...USER, name: 'impressions', description: 'Ads seen', ...counted('impression'), windows: ['1h', '24h', '7d'] },
  { ...USER, name: 'clicks', description: 'Ads clicked', ...counted('click'), windows: ['1h', '24h', '7d', '28d'] },
  {
    ...USER,
    name: 'cart_adds',
    description: 'Put in a cart',
    ...counted('add_to_cart'),
    windows: ['24h', '7d', '28d'],
  },
  { ...USER, name: 'checkouts', description: 'Checkouts begun', ...counted('checkout'), windows: ['24h', '7d'] },
  { ...USER, name: 'orders', description: 'Orders placed', events: ORDERS, aggregate: COUNT, windows: ['7d', '28d'] },
  {
    ...USER,
    name: 'click_rate_7d',
    description: 'Clicks by impression, smoothed',
    rate: { of: 'user.clicks_7d', per: 'user.impressions_7d', ...CLICK_PRIOR },
  },
  {
    ...USER,
    name: 'orders_by_cart_add_28d',
    description: 'Orders for each thing put in a cart',
    ratio: { of: 'user.orders_28d', per: 'user.cart_adds_28d' },
  },
  {
    ...USER,
    name: 'advertisers_clicked',
    description: 'Different advertisers clicked',
    events: on('click'),
    aggregate: { fn: 'distinct', of: field('advertiser_id') },
    windows: ['7d', '28d'],
  },
  {
    ...USER,
    name: 'favourite_advertisers',
    description: 'Advertisers clicked most often, with how often',
    events: on('click'),
    aggregate: { fn: 'top', of: field('advertiser_id'), length: 5 },
    windows: ['28d'],
  },
  {
    ...USER,
    name: 'last_pages',
    description: 'Pages seen last, the newest first',
    events: on('page_view'),
    aggregate: { fn: 'last_ids', of: field('page_id'), length: 10 },
    within: '7d',
  },
  {
    ...USER,
    name: 'last_device',
    description: 'Device of the last page view',
    events: on('page_view'),
    aggregate: { fn: 'last', of: field('device') },
    within: '28d',
    default: 'unknown',
  },
  {
    ...USER,
    name: 'since_click',
    description: 'Seconds since the last click on an ad',
    ...{ events: on('click'), aggregate: SINCE, within: '28d', default: 28 * DAY_S },
  },
  {
    ...USER,
    name: 'since_order',
    description: 'Seconds since the last order',
    ...{ events: ORDERS, aggregate: SINCE, within: '28d', default: 28 * DAY_S },
  },
  {
    ...USER,
    ...MEASURED,
    name: 'spend_usd',
    description: 'Money spent, in US dollars',
    events: SALES,
    aggregate: { fn: 'sum', ...MONEY },
    windows: ['7d', '28d'],
  },
]

const page: readonly FeatureDeclaration[] = [
  { ...PAGE, name: 'page_views', description: 'Views of the page', ...counted('page_view'), windows: ['1h', '24h'] },
  {
    ...PAGE,
    ...PERSONAL,
    name: 'visitors',
    description: 'Different users who saw the page',
    events: on('page_view'),
    aggregate: { fn: 'distinct', of: field('user_id') },
    windows: ['24h'],
  },
]

const delivery: readonly FeatureDeclaration[] = [
  { ...AD, name: 'impressions', description: 'Times shown', ...counted('impression'), windows: ['1h', '24h', '7d'] },
  { ...AD, name: 'clicks', description: 'Times clicked', ...counted('click'), windows: ['1h', '24h', '7d'] },
  {
    ...AD,
    name: 'click_rate_7d',
    description: 'Clicks by impression, smoothed',
    rate: { of: 'ad.clicks_7d', per: 'ad.impressions_7d', ...CLICK_PRIOR },
  },
  {
    ...AD,
    ...PERSONAL,
    name: 'clickers',
    description: 'Different users who clicked',
    events: on('click'),
    aggregate: { fn: 'distinct', of: field('user_id') },
    windows: ['7d'],
  },
  { ...CAMPAIGN, name: 'impressions', description: 'Ads shown', ...counted('impression'), windows: ['24h', '7d'] },
  { ...CAMPAIGN, name: 'clicks', description: 'Ads clicked', ...counted('click'), windows: ['24h', '7d'] },
  {
    ...CAMPAIGN,
    name: 'click_rate_7d',
    description: 'Clicks by impression, smoothed',
    rate: { of: 'campaign.clicks_7d', per: 'campaign.impressions_7d', ...CLICK_PRIOR },
  },
]

const advertiser: readonly FeatureDeclaration[] = [
  { ...ADVERTISER, name: 'clicks', description: 'Ads clicked', ...counted('click'), windows: ['24h', '7d', '28d'] },
  { ...ADVERTISER, name: 'orders', description: 'Orders', events: ORDERS, aggregate: COUNT, windows: ['7d', '28d'] },
  { ...ADVERTISER, name: 'leads', description: 'Leads', ...counted('lead'), windows: ['7d'] },
  {
    ...ADVERTISER,
    name: 'order_rate_28d',
    description: 'Orders by click, smoothed',
    rate: { of: 'advertiser.orders_28d', per: 'advertiser.clicks_28d', ...ORDER_PRIOR },
  },
  {
    ...ADVERTISER,
    ...MEASURED,
    name: 'order_value_usd',
    description: 'Average value of an order, in US dollars',
    events: SALES,
    aggregate: { fn: 'average', ...MONEY },
    windows: ['28d'],
  },
  {
    ...ADVERTISER,
    ...MEASURED,
    name: 'order_value_variance_usd',
    description: 'Variance of the value of an order, in square US dollars',
    events: SALES,
    aggregate: { fn: 'variance', ...MONEY },
    windows: ['28d'],
  },
]

const cross: readonly FeatureDeclaration[] = [
  {
    ...USER_ADVERTISER,
    name: 'page_views',
    description: "Pages of the advertiser's shop that the user saw",
    ...counted('page_view'),
    windows: ['1h', '24h', '7d'],
  },
  {
    ...USER_ADVERTISER,
    name: 'clicks',
    description: "The user's clicks on ads of the advertiser",
    ...counted('click'),
    windows: ['24h', '7d', '28d'],
  },
  {
    ...USER_ADVERTISER,
    name: 'cart_adds',
    description: "What the user put in the advertiser's cart",
    ...counted('add_to_cart'),
    windows: ['24h', '7d'],
  },
  {
    ...USER_ADVERTISER,
    name: 'orders',
    description: "The user's orders from the advertiser",
    ...{ events: ORDERS, aggregate: COUNT, windows: ['28d'] },
  },
  {
    ...USER_ADVERTISER,
    name: 'since_click',
    description: "Seconds since the user's last click on an ad of the advertiser",
    ...{ events: on('click'), aggregate: SINCE, within: '28d', default: 28 * DAY_S },
  },
  {
    ...USER_CAMPAIGN,
    name: 'impressions',
    description: 'How often the user saw ads of the campaign',
    ...counted('impression'),
    windows: ['24h', '7d'],
  },
  {
    ...USER_CAMPAIGN,
    name: 'clicks',
    description: "The user's clicks on ads of the campaign",
    ...counted('click'),
    windows: ['7d'],
  },
  {
    ...USER_AD,
    name: 'impressions',
    description: 'How often the user saw the ad',
    ...counted('impression'),
    windows: ['1h', '24h', '7d'],
  },
  { ...USER_AD, name: 'clicks', description: "The user's clicks on the ad", ...counted('click'), windows: ['7d'] },
]

const context: readonly FeatureDeclaration[] = [
  { ...TOUCH, name: 'hour_of_day', description: 'UTC, 0 to 23', context: { op: 'hour_of_day', args: [EVENT_TIME] } },
  { ...TOUCH, name: 'day_of_week', description: 'UTC, 0: Sunday', context: { op: 'day_of_week', args: [EVENT_TIME] } },
  { ...TOUCH, name: 'device', description: 'As the touch says', context: field('device'), default: 'unknown' },
  { ...TOUCH, name: 'channel', description: 'Where the ad was shown', context: field('channel'), default: 'unknown' },
  {
    ...TOUCH,
    ...PERSONAL,
    name: 'country',
    description: 'As the touch says',
    ...{ context: field('country'), default: 'unknown' },
  },
]

/** The declarations of the CVR application. */
export const APPLICATION: Declarations = {
  entities: ENTITIES,
  features: [...user, ...page, ...delivery, ...advertiser, ...cross, ...context],
  policy: POLICY,
}
