// Takes events of clients into the log, for whoever they talk to (sinks/event-intake.ts): judges each by the rules of the
// graph's source, finds its partition, and publishes what belongs together in one message (topology/group-publish.ts).
// IN1: an event is published to the partition of its user, where its duplicates are.
// IN2: the messages of one call to one partition are published one after the other; after one that the log does not have
//      for sure, none follows, so what is there is the first part of the call (EI2).
// IN3: what is under way is bounded in bytes and messages; a call that does not fit is answered at once and publishes nothing.
// IN4: whatever passes here is judged again by the source, which knows the broker's time where this knows its own, and the
//      configuration of each record's order time where this knows that of the moment.
// Events are published as they were sent, byte for byte. How a message is opened again is in operators/arrival.ts.

import { assert } from '../log/errors.ts'
import { partitionOf } from '../log/frame.ts'
import type { Log, PublishResult } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import { type Event, isRejected, parseEventBytes, type Rejected } from '../operators/event.ts'
import type { ValidationSettings } from '../operators/validation.ts'
import type { EventAnswer, EventIntake } from '../sinks/event-intake.ts'
import { GroupPublisher, type Placed, splitForMessages } from './group-publish.ts'
import { PLAIN_WRITER, type Plan, stageStream, stageSubject } from './plan.ts'

/** Bytes under way: what a broker that stalls for some seconds makes a node hold, far below its memory. */
export const UNDER_WAY_BYTES_MAX = 64 * 1024 * 1024
/** Messages of calls under way, which may travel together: single events of more clients than there are connections. */
export const UNDER_WAY_MESSAGES_MAX = 4_096

export interface IngestOptions {
  readonly plan: Plan
  readonly log: Log
  readonly runtime: Pick<Runtime, 'now'>
  /** Whose stream they go to; not given: that of the source. */
  readonly stage?: string
  /** What becomes of events without a user at the moment; not given: what the plan says. */
  readonly anonymous?: () => ValidationSettings['anonymous']
  readonly underWayBytesMax?: number
  readonly underWayMessagesMax?: number
}

/** An event that the source will accept, and its place among the events of the call. */
interface Sound {
  readonly bytes: Uint8Array
  readonly place: number
}

/** What goes to one partition. */
interface Share {
  readonly partition: number
  readonly messages: readonly (readonly Sound[])[]
}

export class Ingest implements EventIntake {
  readonly #runtime: IngestOptions['runtime']
  readonly #settings: () => ValidationSettings
  readonly #isLive: boolean
  readonly #publishers: readonly GroupPublisher[]
  readonly #streams: readonly string[]
  readonly #bytesMax: number
  readonly #messagesMax: number
  #bytesUnderWay = 0
  #messagesUnderWay = 0

  constructor(options: IngestOptions) {
    const { plan, log, runtime, anonymous, underWayBytesMax, underWayMessagesMax } = options
    const source = plan.stages[0]!
    assert(source.ingress?.name === 'validation', 'the first stage takes events')
    this.#runtime = runtime
    const settings = source.ingress.settings as ValidationSettings
    this.#settings = () => (anonymous === undefined ? settings : { ...settings, anonymous: anonymous() })
    this.#isLive = plan.clock === 'wall'
    const partitions = Array.from({ length: plan.partitions }, (_, p) => p)
    const stage = options.stage ?? source.name
    this.#publishers = partitions.map(
      (p) => new GroupPublisher(log, stageSubject(plan.namespace, stage, p, PLAIN_WRITER)),
    )
    this.#streams = partitions.map((p) => stageStream(plan.namespace, stage, p))
    this.#bytesMax = underWayBytesMax ?? UNDER_WAY_BYTES_MAX
    this.#messagesMax = underWayMessagesMax ?? UNDER_WAY_MESSAGES_MAX
  }

  /** See EventIntake. A call of more than `underWayBytesMax` bytes is answered as full for ever. */
  async take(events: readonly Uint8Array[]): Promise<EventAnswer[]> {
    const answers = new Array<EventAnswer>(events.length)
    const shares = this.#shares(events, answers)
    const messages = shares.flatMap((share) => share.messages)
    const bytes = messages.flat().reduce((sum, sound) => sum + sound.bytes.length, 0)
    if (this.#bytesUnderWay + bytes > this.#bytesMax || this.#messagesUnderWay + messages.length > this.#messagesMax) {
      for (const { place } of messages.flat()) answers[place] = { kind: 'full', cause: 'too much is under way' }
      return answers
    }
    this.#bytesUnderWay += bytes
    this.#messagesUnderWay += messages.length
    try {
      await Promise.all(shares.map((share) => this.#publish(share, answers)))
    } finally {
      this.#bytesUnderWay -= bytes
      this.#messagesUnderWay -= messages.length
    }
    return answers
  }

  /** Answers what is refused, and sorts the rest by partition into messages. */
  #shares(events: readonly Uint8Array[], answers: EventAnswer[]): Share[] {
    const byPartition = new Map<number, Sound[]>()
    const settings = this.#settings()
    for (const [place, bytes] of events.entries()) {
      const result = this.#judge(bytes, settings)
      if (isRefused(result)) {
        answers[place] = { kind: 'refused', ...result }
        continue
      }
      const partition = partitionOf(result.user, this.#publishers.length)
      const others = byPartition.get(partition)
      if (others === undefined) byPartition.set(partition, [{ bytes, place }])
      else others.push({ bytes, place })
    }
    return [...byPartition].map(([partition, sound]) => ({
      partition,
      messages: splitForMessages(sound, ({ bytes }) => bytes.length),
    }))
  }

  #judge(bytes: Uint8Array, settings: ValidationSettings): Event | Refused {
    const result = parseEventBytes(bytes, settings)
    if (isRejected(result)) return result
    // An erasure that is only stored would be ignored: nobody acts on it yet.
    if (result.type === 'consent' || result.type === 'erase') return { code: 'NOT_IMPLEMENTED', field: 'type' }
    const isAhead = this.#isLive && result.time > this.#runtime.now() + settings.futureMs
    return isAhead ? { code: 'EVENT_TIME_FUTURE', field: 'event_time' } : result
  }

  /** Publishes the messages of one partition, one after the other (IN2). */
  async #publish({ partition, messages }: Share, answers: EventAnswer[]): Promise<void> {
    let placed: Placed | null = null
    for (const message of messages) {
      if (placed === null || placed.result.kind === 'stored')
        placed = await this.#publishers[partition]!.publish(message.map(({ bytes }) => bytes))
      const { result, first } = placed
      for (const [i, { place }] of message.entries()) answers[place] = this.#answer(result, partition, first + i)
    }
  }

  #answer(result: PublishResult, partition: number, index: number): EventAnswer {
    if (result.kind === 'stored') return { kind: 'taken', stream: this.#streams[partition]!, seq: result.seq, index }
    assert(result.kind !== 'refused', 'nothing was compared')
    return { kind: result.kind, cause: result.cause }
  }
}

type Refused = Omit<Extract<EventAnswer, { kind: 'refused' }>, 'kind'>

function isRefused(result: Event | Refused): result is Refused {
  return isRejected(result as Event | Rejected)
}
