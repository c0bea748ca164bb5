// The decision table of protocol.md, section 5, as a pure function: what the last message on a writer's subject means.
// Asked on start and after every publish without a positive ack. Reading the log and acting is in log/writer.ts.

import { HoldfastError } from './errors.ts'
import { FRAME_HEADER, type FrameHeader, parseFrameHeader, RECORD_HEADER } from './frame.ts'
import type { LogMessage, StreamState } from './log.ts'

/** What is known to be in a destination: the last record of this writer and the message that carries it. */
export interface Published {
  /** Number of the last record; 0 = none. */
  readonly number: number
  /** Chain at that record; '' where retention took the message that said it. */
  readonly chain: string
  /** Sequence of the writer's last message; 0 = none, or not known to a standby. */
  readonly seq: number
}

export interface Destination {
  readonly stream: string
  readonly subject: string
  /** `frames`: many writers, each with a subject of its own. `records`: one writer, one message per record. */
  readonly mode: 'frames' | 'records'
}

export interface Owner {
  readonly generation: number
  readonly instance: string
}

type Facts = Readonly<Record<string, string | number>>

/** What lies in the destination. `header` is null where nothing of this writer is there (or retention took it). */
export interface Found extends Published {
  readonly header: FrameHeader | null
}

/**
 * Decides what the last message on the subject says, given what state says was published.
 * Throws FENCED, LOG_WENT_BACK, FOREIGN_WRITE or RECOVERY_POINT_GONE, with the numbers that do not add up.
 */
export function whatIsThere(
  destination: Destination,
  last: LogMessage | null,
  stream: StreamState,
  state: Published,
  owner: Owner,
): Found {
  const where = { subject: destination.subject, state_number: state.number, state_seq: state.seq }
  if (last === null) return nothingThere(destination, stream, state, where)
  const header = parseFrameHeader(last.headers?.[FRAME_HEADER])
  if (header === null) throw headless(destination, last, state, where)
  const number = header.first + header.count - 1
  const facts = { ...where, seq: last.seq, number, generation: header.generation, my_generation: owner.generation }
  const newer = header.generation > owner.generation
  const twin = header.generation === owner.generation && header.instance !== owner.instance
  if (newer || twin) throw new HoldfastError('FENCED', 'a newer owner published', facts)
  if (number < state.number || last.seq < state.seq) {
    throw new HoldfastError('LOG_WENT_BACK', 'the destination ends before what state says was published', facts)
  }
  if (number === state.number && state.chain !== '' && header.chainAfter !== state.chain) {
    throw new HoldfastError('LOG_WENT_BACK', 'the destination holds other records than state says', facts)
  }
  return { number, chain: header.chainAfter, seq: last.seq, header }
}

/** A stranger's message; or what is left of ours where a batch lost its end, and with it its header. */
function headless({ mode }: Destination, last: LogMessage, state: Published, where: Facts): HoldfastError {
  const facts = { ...where, seq: last.seq }
  const cut = mode === 'records' && last.headers?.[RECORD_HEADER] !== undefined
  if (cut) return new HoldfastError('LOG_WENT_BACK', 'the destination ends inside a batch', facts)
  if (last.seq < state.seq) {
    return new HoldfastError('LOG_WENT_BACK', 'the destination ends before what state says was published', facts)
  }
  return new HoldfastError('FOREIGN_WRITE', 'the last message of a writer has no valid header', facts)
}

function nothingThere(destination: Destination, stream: StreamState, state: Published, where: Facts): Found {
  const facts = { ...where, first_seq: stream.firstSeq, last_seq: stream.lastSeq }
  if (stream.lastSeq < state.seq) {
    throw new HoldfastError('LOG_WENT_BACK', 'the destination ends before what state says was published', facts)
  }
  // One writer, one message a record: the sequence tells the number even where retention took the message.
  if (destination.mode === 'records' && stream.lastSeq > 0 && stream.firstSeq > state.seq) {
    return { number: state.number + (stream.lastSeq - state.seq), chain: '', seq: stream.lastSeq, header: null }
  }
  if (state.number > 0 || state.seq > 0) {
    throw new HoldfastError('RECOVERY_POINT_GONE', 'the last published frame is no longer there', facts)
  }
  // protocol.md says "last_seq 0"; a stream of many writers also has none of mine while others wrote and nothing was
  // ever trimmed. Trimming spares every writer's last frame, so with first_seq 1 mine would still be there.
  if (stream.lastSeq === 0 || stream.firstSeq <= 1) return { number: 0, chain: '', seq: 0, header: null }
  throw new HoldfastError('RECOVERY_POINT_GONE', 'whether anything was published cannot be told', facts)
}
