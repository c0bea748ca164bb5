// What a node says of each of its tasks, for people and dashboards: GET /v1/status, `holdfast top`, the web page.
// Names are those of the JSON: a row is handed out as it is.

/** What a task waits for. */
export interface StatusWaiting {
  /** `broker`: it does not answer; `room`: a stream is full; `pace`: the stage that it feeds has not committed what it sent, or has live events to do. */
  readonly cause: string
  /** The stream. */
  readonly on: string
  readonly detail: string
  /** When the wait began, milliseconds since 1970, on the node's clock. */
  readonly since_ms: number
}

/** From the broker's timestamp of a message to its being readable, over the last 30 to 60 seconds. */
export interface StatusReadable {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Messages that these are of. */
  readonly count: number
}

/** A stage that a task sends records to: all tasks of it, or, of a feeder, the one of the same partition. */
export interface StatusSending {
  readonly stage: string
  readonly same_partition: boolean
}

export interface StatusRow {
  readonly name: string
  readonly stage: string
  readonly partition: number
  readonly sends_to: readonly StatusSending[]
  readonly phase: string
  /** Number of the last commit. */
  readonly epoch: number
  /** Sequence of the last message that was applied. */
  readonly seq: number
  /** Messages in the stream behind it. */
  readonly pending: number
  /** Records that tasks of the stage before have published for it and that it has not taken; null: what clients publish nobody has counted. */
  readonly lag_records: number | null
  /** Milliseconds that the oldest message which is not readable yet has been in the stream; 0: there is none. */
  readonly lag_ms: number
  readonly readable_ms: StatusReadable | null
  /** Milliseconds of event time; null: none yet. */
  readonly watermark: number | null
  /** Highest event time that it has applied, milliseconds; null: none yet. What is read of its state is as fresh as this. */
  readonly last_event: number | null
  readonly waiting: StatusWaiting | null
  /** Hash of the configuration that holds for the latest order time it has applied. */
  readonly config: string
  /** Counters of the task since its state began: `records` and those of its operators. */
  readonly counts: Readonly<Record<string, number>>
}
