// A touch as it is held: what its place in the hold store does not say, as compact bytes. Its place is its person and advertiser,
// its time, and an id that orders touches of one time by (type, event_id).
// HT1: what is held is the touch itself, made once: a robot's conversions share its thousands of touches.
// HT2: a touch without a score has the bytes that it had before there were scores.

import type { HoldCodec } from '../state/store.ts'
import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import type { Scored } from './model-records.ts'
import { scoredIn, writeScored } from './scored.ts'
import { groupOf, partsOf, type Touch, type TouchType } from './touch.ts'
import { LAYOUTS_MAX } from './vector.ts'

export interface HeldTouch {
  /** How far the watermark was past its time when it came, milliseconds; 0: it was not. */
  readonly lateByMs: number
  readonly touch: Touch
}

/** Where a touch is held. `value` is made of it anew. */
export interface HoldPlace {
  readonly group: string
  readonly id: string
}

/** In the order of the types. */
const MARKS: Readonly<Record<TouchType, string>> = { click: 'c', impression: 'i' }

/** The group and id of a touch in the hold store. */
export const placeOf = (touch: Touch): HoldPlace => ({ group: groupOf(touch), id: MARKS[touch.type] + touch.id })

/** What is held of a touch that came at this watermark. */
export function heldTouch(touch: Touch, watermark: number): HeldTouch {
  return { lateByMs: Math.max(0, watermark - touch.timeMs), touch }
}

/** Flags of the first number, under four times how late the touch came. */
const HAS_CLICK_ID = 1
/** A vector, or a score, or both. */
const HAS_MORE = 2
const FLAGS = 4

/** In the place of a layout's number: a score stands before the vector's own, which is then 1 more; 0: there is no vector. */
const SCORED = LAYOUTS_MAX

/** Bytes: lateness and flags in one number, campaign, ad, click_id where there is one, and score, layout and bytes of a vector. */
export const heldTouchCodec: HoldCodec<HeldTouch> = {
  encode({ lateByMs, touch: { campaign, ad, clickId, vector, scored } }) {
    const writer = new ByteWriter()
    const hasMore = vector !== null || scored !== undefined
    writer.varint(FLAGS * lateByMs + (clickId === null ? 0 : HAS_CLICK_ID) + (hasMore ? HAS_MORE : 0))
    writer.text(campaign)
    writer.text(ad)
    if (clickId !== null) writer.text(clickId)
    if (scored !== undefined) {
      writer.varint(SCORED)
      writeScored(scored, writer)
      writer.varint(vector === null ? 0 : 1 + vector.layout)
    } else if (vector !== null) writer.varint(vector.layout)
    if (vector !== null) writer.bytes(Buffer.from(vector.base64, 'base64'))
    return writer.doneForOneCommit()
  },
  decode(bytes, group, place) {
    const reader = new ByteReader(bytes)
    const head = reader.varint()
    const [campaign, ad] = [reader.text(), reader.text()]
    const clickId = (head & HAS_CLICK_ID) === 0 ? null : reader.text()
    const { scored, vector } = (head & HAS_MORE) === 0 ? NOTHING_MORE : moreOf(reader)
    if (!reader.atEnd) throw corrupt('a held touch is longer than it says')
    const [user, advertiser] = partsOf(group) as [string, string]
    const type = place.id.startsWith(MARKS.click) ? 'click' : 'impression'
    const [id, timeMs] = [place.id.slice(1), place.timeMs]
    const touch: Touch = { kind: 'touch', type, id, timeMs, user, advertiser, campaign, ad, clickId, vector }
    return { lateByMs: Math.floor(head / FLAGS), touch: scored === null ? touch : { ...touch, scored } }
  },
}

type More = { readonly scored: Scored | null; readonly vector: Touch['vector'] }
const NOTHING_MORE: More = { scored: null, vector: null }

function moreOf(reader: ByteReader): More {
  const first = reader.varint()
  const scored = first === SCORED ? scoredIn(reader) : null
  const layout = scored === null ? first : reader.varint() - 1
  return { scored, vector: layout === -1 ? null : { layout, base64: reader.rest().toString('base64') } }
}
