// Whether a client is a program and no person, by its user agent and its address: a mark, never a refusal.
// BT1: only the mark goes on; the two facts it was made of stay here (pixel-event.ts, PX4).
// Not here: what becomes of marked events. Operators decide (contract.md, section 1: count, mark or drop).

import { BlockList, isIP, isIPv4 } from 'node:net'

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
  const list = new BlockList()
  for (const network of networks) addNetwork(list, network)
  return ({ userAgent, ip }) => {
    if (userAgent !== null && PROGRAM.test(userAgent.slice(0, USER_AGENT_CHARS_MAX))) return true
    return ip !== null && isListed(list, ip)
  }
}

function addNetwork(list: BlockList, network: string): void {
  const [, address = '', bits = ''] = /^([\da-f.:]+)\/(\d{1,3})$/i.exec(network) ?? []
  const family = isIP(address)
  if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) throw new RangeError(`no network: ${network}`)
  list.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
}

function isListed(list: BlockList, ip: string): boolean {
  // A socket that listens on both families shows IPv4 clients like this.
  const address = ip.startsWith('::ffff:') && isIPv4(ip.slice(7)) ? ip.slice(7) : ip
  return isIP(address) !== 0 && list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
}
