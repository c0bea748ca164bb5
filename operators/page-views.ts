// Page views: which events are one, and what of them is counted for whom (contract.md, section 7: page_views_1h).
// An event without a user counts for its page and for nobody; one that `bots` marks counts for neither.
// What is here goes into windowedCount as it is; the windows and the pane are the topology's.

import type { Event } from './event.ts'

export const PAGE_VIEWS_1H = 'page_views_1h'

/** What the stage of pages needs of a page view. */
export interface PageView {
  readonly page: string
  /** Event time, milliseconds. */
  readonly time: number
}

export const isCountedView = (event: Event): boolean => event.type === 'page_view' && event.bots === undefined

export const pageViewsByUser = {
  feature: PAGE_VIEWS_1H,
  entity: 'user',
  key: (event: Event): string => event.user,
  time: (event: Event): number => event.time,
  where: (event: Event): boolean => isCountedView(event) && !event.anonymous,
} as const

export const pageViewsByPage = {
  feature: PAGE_VIEWS_1H,
  entity: 'page',
  key: (view: PageView): string => view.page,
  time: (view: PageView): number => view.time,
} as const
