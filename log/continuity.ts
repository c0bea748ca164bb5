// Whether what a reader gets next continues what it got before (protocol.md, section 7). Pure; both logs use it.
// C1: a consumer is never trusted to continue: each new one starts at the last message again, and its first delivery must
//     be that message, byte for byte (messageDigest).
// C2: the stream is compared before that: same creation time, not shorter than the position, nothing missing behind it.
// C3: after that every message has the sequence of the one before plus one.

import { HoldfastError } from './errors.ts'
import { messageDigest } from './frame.ts'
import type { LogMessage, ReadFrom, StreamState } from './log.ts'

/** `take`: hand it out. `proof`: it was handed out before and is still the same. `again`: make a new consumer and ask again. */
export type Verdict = 'take' | 'proof' | 'again'

export class Continuity {
  readonly #stream: string
  #created: string
  #seq: number
  /** Digest of the message at #seq; computed from #last only when a new consumer needs it. */
  #digest: string
  #last: LogMessage | null = null
  /** The message at #seq must come first. */
  #unproven = false
  /** The caller has not seen the message at #seq: it is the one of its own position. */
  #handOutProof: boolean
  #missedProofs = 0

  constructor(stream: string, from: ReadFrom) {
    this.#stream = stream
    this.#created = from.created
    this.#seq = from.seq
    this.#digest = from.digest
    this.#handOutProof = from.seq > 0
  }

  /** Sequence of the last message taken (or of the position the reader started from). */
  get seq(): number {
    return this.#seq
  }

  /**
   * Compares the stream as it is now with the position, and returns the sequence at which a new consumer has to start.
   * Throws LOG_WENT_BACK or GAP.
   */
  resume(state: StreamState | null): number {
    const position = this.#seq
    if (state === null) throw this.#wentBack('the stream is gone', {})
    if (this.#created !== '' && state.created !== this.#created) {
      throw this.#wentBack('the stream was created anew', { created: state.created, expected: this.#created })
    }
    this.#created = state.created
    if (state.lastSeq < position) throw this.#wentBack('the stream ends before it', { lastSeq: state.lastSeq })
    if (state.firstSeq > position + 1) throw this.#gap('the stream begins after it', { firstSeq: state.firstSeq })
    this.#unproven = state.firstSeq <= position
    return this.#unproven ? position : position + 1
  }

  /** Judges the next message of the consumer made after resume(); its messages come in order. Throws LOG_WENT_BACK or GAP. */
  admit(message: LogMessage): Verdict {
    if (this.#unproven) return this.#prove(message)
    if (message.seq === this.#seq + 1) {
      this.#seq = message.seq
      this.#last = message
      this.#handOutProof = false
      return 'take'
    }
    if (message.seq <= this.#seq) throw this.#wentBack('a message behind it came again', { seq: message.seq })
    throw this.#gap('the next message is not the one after it', { seq: message.seq })
  }

  #prove(message: LogMessage): Verdict {
    if (message.seq < this.#seq) throw this.#wentBack('a message before it came first', { seq: message.seq })
    if (message.seq > this.#seq) {
      // Retention may have taken it between the comparison and the consumer: then the stream now begins behind it.
      if (++this.#missedProofs > 1) throw this.#gap('the message at it is gone', { seq: message.seq })
      return 'again'
    }
    this.#missedProofs = 0
    const expected = this.#last === null ? this.#digest : messageDigest(this.#last)
    const digest = messageDigest(message)
    if (digest !== expected) throw this.#wentBack('the message at it is another one', { digest, expected })
    this.#unproven = false
    this.#last = message
    if (!this.#handOutProof) return 'proof'
    this.#handOutProof = false
    return 'take'
  }

  #wentBack(what: string, numbers: Record<string, string | number>): HoldfastError {
    return new HoldfastError('LOG_WENT_BACK', `stream ${this.#stream}, position ${this.#seq}: ${what}`, {
      stream: this.#stream,
      position: this.#seq,
      ...numbers,
    })
  }

  #gap(what: string, numbers: Record<string, string | number>): HoldfastError {
    return new HoldfastError('GAP', `stream ${this.#stream}, position ${this.#seq}: ${what}`, {
      stream: this.#stream,
      position: this.#seq,
      ...numbers,
    })
  }
}
