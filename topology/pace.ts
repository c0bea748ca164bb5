// How fast a stage that feeds another may write into its log (bulk uploads into the stage of users), so that what is live there
// does not wait behind a backlog. Timing only: what is written, and in which order, does not depend on it.
// PC1: one frame is under way: the next one goes when the reader has committed the one before, so a live record finds at most
//      one frame in front of it.
// PC2: a frame has at most `share` of the records that the reader has committed since the last one; but never fewer
//      than FRAME_RECORDS_MIN, so that it always moves, and up to FRAME_RECORDS_MAX where nothing is live.
// PC3: while others are live a frame is under way for `share` of the time at most: when it is committed, the reader is left alone for
//      as long in proportion. So a machine that has no time left gives uploads less of it, too.
// PC4: what the reader says is sent once and may be lost, and the reader may be away: after PATIENCE_MS without a word the next
//      frame goes all the same, with the fewest records. The bound of the stream is behind that.
// What the reader says, and who waits here, is topology/task.ts's.

/** Records of a slice, which the reader computes at once anyway: about a millisecond. */
export const FRAME_RECORDS_MIN = 128
/** About ten milliseconds of computing, as long as a record waits for its commit: who comes live meanwhile waits no longer. */
export const FRAME_RECORDS_MAX = 1_000
/** Milliseconds of commits without a live record after which nothing is live. Commits, not silence: one that takes long says nothing. */
export const QUIET_MS = 1_000
/** Milliseconds without a word: longer than a commit takes on a machine that has no time, which should not get more to do. */
export const PATIENCE_MS = 5_000

/** What a reader says with each commit, counted since its state began. */
export interface ReaderProgress {
  /** Records that it has applied, those of its feeders included. */
  readonly records: number
  /** By feeder, the number of the last record applied. */
  readonly fed: Readonly<Record<string, number>>
}

export interface PaceOptions {
  /** The task that feeds. */
  readonly feeder: string
  /** Of the reader's records that may be fed ones while others are live: above 0, at most 1. */
  readonly share: number
  /** Milliseconds, never going back. */
  now(): number
}

export class Pace {
  readonly #o: PaceOptions
  /** Number of the last record published, and when. */
  #published = 0
  #publishedMs = 0
  /** Number of the last record that the reader has committed. */
  #committed = 0
  /** How long the last frame was under way, milliseconds, and when it was committed. */
  #tookMs = 0
  #committedMs = 0
  /** Live records of the reader: by its last word, and when the last frame was committed. */
  #live: number | null = null
  #liveAtCommit = 0
  #liveMs: number
  /** When the reader said something last. */
  #heardMs: number
  /** Live records that were committed between the last frame and the one before. */
  #liveMeanwhile = 0

  constructor(options: PaceOptions) {
    this.#o = options
    // Until it is known that nothing is live, something may be.
    this.#liveMs = options.now()
    this.#heardMs = this.#liveMs
  }

  /** The reader has committed. After a restart of it, its counts may be lower than before. */
  heard({ records, fed }: ReaderProgress): void {
    const live = records - Object.values(fed).reduce((sum, number) => sum + number, 0)
    this.#heardMs = this.#o.now()
    if (this.#live !== null && live > this.#live) this.#liveMs = this.#heardMs
    if (this.#live === null || live < this.#live) this.#liveAtCommit = live
    this.#live = live
    const wasUnderWay = this.#isUnderWay
    this.#committed = fed[this.#o.feeder] ?? 0
    if (!wasUnderWay || this.#isUnderWay) return
    this.#committedMs = this.#heardMs
    this.#tookMs = this.#committedMs - this.#publishedMs
    this.#liveMeanwhile = live - this.#liveAtCommit
    this.#liveAtCommit = live
  }

  /** The log has the feeder's records up to this number. */
  published(number: number): void {
    this.#published = number
    this.#publishedMs = this.#o.now()
  }

  /** Whether the next frame may be published. */
  get isFree(): boolean {
    return this.#isUnderWay ? this.#isImpatient : !this.#isAtRest
  }

  /** Records of the next frame, at most. */
  get frameRecords(): number {
    const { share } = this.#o
    if (this.#isUnderWay && this.#isImpatient) return FRAME_RECORDS_MIN
    if (!this.#isLive) return FRAME_RECORDS_MAX
    const records = Math.floor((this.#liveMeanwhile * share) / (1 - share))
    return Math.min(FRAME_RECORDS_MAX, Math.max(FRAME_RECORDS_MIN, records))
  }

  get #isLive(): boolean {
    return this.#o.share < 1 && this.#heardMs - this.#liveMs < QUIET_MS
  }

  /** PC3. */
  get #isAtRest(): boolean {
    const { share, now } = this.#o
    return this.#isLive && now() - this.#committedMs < (this.#tookMs * (1 - share)) / share
  }

  get #isUnderWay(): boolean {
    return this.#committed < this.#published
  }

  get #isImpatient(): boolean {
    return this.#o.now() - Math.max(this.#publishedMs, this.#heardMs) >= PATIENCE_MS
  }
}
