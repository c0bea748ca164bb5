// Every colour that text or lines have can be read on what lies behind it, in light and in dark (WCAG 2.2, 1.4.3).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const CONTRAST_MIN = 4.5
const TEXTS = ['text', 'muted', 'accent', 'accepted', 'duplicates', 'dead-letters']
const GROUNDS = ['card', 'ground']

const sheet = readFileSync(join(import.meta.dirname, 'dashboard.css'), 'utf8')
const [light, dark] = [...sheet.matchAll(/:root \{([^}]*)\}/g)].map(([, rules]) => {
  return new Map([...rules!.matchAll(/--([\w-]+): #([0-9a-f]{6});/g)].map(([, name, hex]) => [name!, hex!]))
})

/** Relative luminance of sRGB, as WCAG defines it. */
function luminance(hex: string): number {
  const [r, g, b] = [0, 2, 4].map((at) => {
    const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
}

function contrast(one: string, other: string): number {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (lighter! + 0.05) / (darker! + 0.05)
}

it('measures as WCAG does', () => {
  expect(contrast('000000', 'ffffff')).toBeCloseTo(21)
  expect(contrast('777777', 'ffffff')).toBeCloseTo(4.48, 2)
})

it.each([
  ['light', light],
  ['dark', dark],
])('%s', (_, colors) => {
  const weak = TEXTS.flatMap((text) => GROUNDS.map((ground) => [text, ground] as const)).filter(
    ([text, ground]) => contrast(colors!.get(text)!, colors!.get(ground)!) < CONTRAST_MIN,
  )
  expect(weak).toEqual([])
})
