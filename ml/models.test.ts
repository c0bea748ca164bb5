// Every model passes the conformance suite; its bytes are read back whole or refused.

import { describe, expect, it } from 'vitest'
import { learnAll, modelConformance } from '../test/conformance/models.ts'
import { createModel, loadParts, MODEL_DEFAULTS, type ModelSettings, saveParts } from './models.ts'

const SETTINGS: readonly ModelSettings[] = [
  MODEL_DEFAULTS['base-rate'],
  // Small tables, in which keys meet.
  { model: 'counter', place: 0, pseudoRows: 20, bits: 8 },
  { model: 'counter', place: 1, pseudoRows: 0.5, bits: 12 },
  { model: 'ftrl', alpha: 0.1, beta: 1, l1: 0, l2: 1, bits: 8 },
  { model: 'ftrl', alpha: 1, beta: 0.1, l1: 0.5, l2: 0, bits: 12 },
]

describe.each(SETTINGS)('%j', (settings) => {
  modelConformance(settings)
})

describe('bytes', () => {
  const settings: ModelSettings = { model: 'ftrl', alpha: 0.1, beta: 1, l1: 0, l2: 1, bits: 10 }
  const model = createModel(settings)
  learnAll(model, [{ keys: [1, 999], values: [1, 2], y: 1, weight: 1 }])
  const about = { window: '7d' }
  const bytes = saveParts(about, { model })
  const load = (file: Uint8Array, asked: object = about, into: ModelSettings = settings) =>
    loadParts(file, asked, { model: createModel(into) })

  it('leave out blocks that hold nothing', () => {
    // Head, and the blocks of places 1 and 999.
    expect(bytes.length).toBeLessThan(3 * 4_096 + 400)
    expect(bytes.length).toBeGreaterThan(3 * 4_096)
  })

  it('are refused wherever a bit flips, and at any shorter length', () => {
    for (let at = 0; at < bytes.length; at += 97) {
      const flipped = Uint8Array.from(bytes)
      flipped[at]! ^= 4
      expect(() => load(flipped)).toThrow(/cannot be read/)
      expect(() => load(bytes.subarray(0, at))).toThrow(/cannot be read/)
    }
  })

  it('are refused by a model of other settings, and for other rows', () => {
    expect(() => load(bytes, about, { ...settings, alpha: 0.2 })).toThrow(/"alpha":0.1.*asked for/)
    expect(() => load(bytes, { window: '1d' })).toThrow(/"window":"7d".*asked for/)
    expect(() => loadParts(bytes, about, { model: createModel(settings), late: createModel(settings) })).toThrow(/late/)
  })
})
