import { describe, expect, it } from 'vitest'
import { botMark, USER_AGENT_CHARS_MAX } from './bots.ts'

const mark = botMark(['192.0.2.0/24', '2001:db8::/32', '203.0.113.9/32'])
const says = (userAgent: string) => mark({ userAgent, ip: null })
const comesFrom = (ip: string) => mark({ userAgent: null, ip })

describe('user agents', () => {
  it.each([
    'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
    'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)',
    'AdsBot-Google (+http://www.google.com/adsbot.html)',
    'Mediapartners-Google',
    'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)',
    'Mozilla/5.0 (compatible; Baiduspider/2.0)',
    'Mozilla/5.0 (compatible; Yahoo! Slurp)',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/153.0.0.0 Safari/537.36',
    'Mozilla/5.0 (Linux; Android 11) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36 Chrome-Lighthouse',
    'curl/8.9.1',
    'python-requests/2.32.3',
    'Go-http-client/1.1',
    'node',
    'WhatsApp/2.24.1 A',
  ])('%s is a program', (userAgent) => expect(says(userAgent)).toBe(true))

  it.each([
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1',
    'Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0',
    'Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36',
    'Mozilla/5.0 (Linux; Android 13; Botswana Edition) Chrome/120.0.0.0 Mobile',
    'Mozilla/5.0 (iPhone) [FBAN/FBIOS;FBAV/480.0.0.0;FBDV/iPhone15,2]',
    'okhttp/4.12.0',
    '',
  ])('%s is a person', (userAgent) => expect(says(userAgent)).toBe(false))

  it('are looked at so far and no further', () => {
    expect(says(`${'x'.repeat(USER_AGENT_CHARS_MAX - 7)} curl/1`)).toBe(true)
    expect(says(`${'x'.repeat(USER_AGENT_CHARS_MAX)} curl/1`)).toBe(false)
  })
})

describe('networks', () => {
  it.each(['192.0.2.0', '192.0.2.255', '::ffff:192.0.2.9', '2001:db8::1', '203.0.113.9'])('%s is in one', (ip) =>
    expect(comesFrom(ip)).toBe(true),
  )
  it.each(['192.0.3.0', '2001:db9::1', '203.0.113.8', 'not an address', '', '192.0.2.1, 10.0.0.1'])('%s is not', (ip) =>
    expect(comesFrom(ip)).toBe(false),
  )
  it.each(['192.0.2.0', '192.0.2.0/33', '2001:db8::/129', 'example.com/24', '', '/8'])('%s is no network', (network) =>
    expect(() => botMark([network])).toThrow(/no network/),
  )
})
