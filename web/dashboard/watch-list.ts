// Which values the page watches: a list in its address, `?watch=page_views_1h/page/home,page_views_1h/user/u1`.
// WL1: what the address says and what the page shows are the same list: parse(format(list)) is list, for any keys.
// WL2: nothing is asked of the node that it would refuse: one bad key would fail the read of all others beside it.

/** Rows at once: more than a person reads, and each second one read of at most as many keys. */
export const WATCHED_MAX = 100
/** As operators/event.ts says it; the test compares. */
const KEY_BYTES_MAX = 128

export interface Watched {
  readonly feature: string
  readonly entity: string
  readonly key: string
}

export interface WatchList {
  readonly rows: readonly Watched[]
  /** Entries of the address that are not watched: no feature, entity and key, or more than WATCHED_MAX. */
  readonly leftOut: number
}

/** The list in an address: `search` as location.search has it. Doubles are taken once. */
export function parseWatchList(search: string): WatchList {
  const entries = search
    .replace(/^\?/, '')
    .split('&')
    .filter((part) => part.startsWith('watch='))
    .flatMap((part) => commaList(part.slice('watch='.length)))
  const known = new Map<string, Watched>()
  let leftOut = 0
  for (const entry of entries) {
    const row = parseEntry(entry)
    if (row === null || (known.size >= WATCHED_MAX && !known.has(nameOf(row)))) leftOut++
    else known.set(nameOf(row), row)
  }
  return { rows: [...known.values()], leftOut }
}

/** The list as location.search would have it; empty for an empty list. */
export function formatWatchList(rows: readonly Watched[]): string {
  return rows.length === 0 ? '' : `?watch=${rows.map(nameOf).join(',')}`
}

/** `feature/entity/key`, encoded: one name for one row. */
export function nameOf({ feature, entity, key }: Watched): string {
  return [feature, entity, key].map(encodeURIComponent).join('/')
}

/** Whether the node takes it for a key: 1-128 bytes of UTF-8 without control characters. */
export function isKey(text: string): boolean {
  const bytes = new TextEncoder().encode(text).length
  return bytes >= 1 && bytes <= KEY_BYTES_MAX && text.isWellFormed() && !CONTROL.test(text)
}
const CONTROL = /[\u0000-\u001f\u007f]/

/** Where slashes were encoded as well, the whole list was encoded once more, as forms and URLSearchParams do it. */
function commaList(text: string): string[] {
  const list = text.includes('/') ? text : (decoded(text.replaceAll('+', ' ')) ?? text)
  return list.split(',').filter((entry) => entry !== '')
}

/** A key may hold slashes, encoded or not: only the first two part. null: it is no entry. */
function parseEntry(entry: string): Watched | null {
  const [feature = '', entity = '', ...rest] = entry.split('/').map(decoded)
  if (feature === null || entity === null || rest.length === 0 || rest.includes(null)) return null
  const key = rest.join('/')
  return isSegment(feature) && isSegment(entity) && isKey(key) ? { feature, entity, key } : null
}

/** Names of features and entities are parts of a path, where dots are steps. */
const isSegment = (text: string): boolean => isKey(text) && text !== '.' && text !== '..'

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
