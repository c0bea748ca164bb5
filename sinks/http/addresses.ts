// Addresses of clients: whether one is in a list of networks, and which one a request came from.
// AD1: X-Forwarded-For is believed from configured proxies only, entry by entry from the right, up to the first address that
//      is none of theirs: what a client wrote there itself stands further left and is never reached.

import { BlockList, isIP, isIPv4 } from 'node:net'
import type { FastifyRequest } from 'fastify'

/** Whether an address is in one of the networks, each written as `192.0.2.0/24` or `2001:db8::/32`. Throws a RangeError for anything else. */
export function networkList(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const network of networks) addNetwork(list, network)
  return (address) => isListed(list, address)
}

/** The address of the client behind trusted proxies; of the connection, where a proxy named something else. */
export function addressOf({ ip, socket }: Pick<FastifyRequest, 'ip' | 'socket'>): string {
  return isIP(ip) === 0 ? (socket.remoteAddress ?? '') : ip
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
