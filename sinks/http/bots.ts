// Whether a client is a program and no person, by its user agent and its address: a mark, never a refusal.
// BT1: only the mark goes on; the two facts it was made of stay here (pixel-event.ts, PX4).
// Not here: what becomes of marked events. Operators decide (contract.md, section 1: count, mark or drop).

import { networkList } from './addresses.ts'

/** Characters of a user agent that are looked at: real ones have 80 to 300, and a server's call may carry any length. */
export const USER_AGENT_CHARS_MAX = 1024

/**
 * Programs that say so. `bot` at the end of a word is what crawlers call themselves (Googlebot/2.1, AdsBot-Google,
 * robot), but for the telephones of the maker Cubot; then crawlers that do not, browsers without a screen, checkers of
 * pages, makers of previews, and the libraries of programming languages. okhttp is not here: apps of people use it.
 */
const PROGRAM =
  /(?<!cu)bot(?![a-z])|crawl|spider|slurp|mediapartners|googleother|inspectiontool|headless|phantomjs|electron\/|lighthouse|pagespeed|pingdom|uptime|facebookexternalhit|whatsapp\/|preview|scrapy|curl\/|wget\/|python-|aiohttp|libwww|go-http-client|java\/|axios\/|node-fetch|undici|^node$|httpclient/i

export interface Client {
  /** null where the client does not say. */
  readonly userAgent: string | null
  readonly ip: string | null
}

export type BotMark = (client: Client) => boolean

/**
 * The mark, for these networks besides what user agents say. Networks of programs change by the week, so none is built
 * in; each is written as `192.0.2.0/24` or `2001:db8::/32`. Throws a RangeError for anything else.
 */
export function botMark(networks: readonly string[]): BotMark {
  const isListed = networkList(networks)
  return ({ userAgent, ip }) => {
    if (userAgent !== null && PROGRAM.test(userAgent.slice(0, USER_AGENT_CHARS_MAX))) return true
    return ip !== null && isListed(ip)
  }
}
