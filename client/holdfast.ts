// The typed client of the HTTP API: one method per operation, one interface per answer.
// Written by `node scripts/client.ts` from the OpenAPI document of the routes in sinks/http/. How it asks: client/transport.ts.

import { type ClientOptions, segment, Transport } from './transport.ts'

export interface ReadFeatureQuery {
  /** Event time to answer for, milliseconds since 1970. Without it: as_of. */
  readonly at?: number | undefined
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ReadFeatureAnswer {
  readonly feature: string
  readonly entity: string
  readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
  /** Length of the window, milliseconds; null where there is none. */
  readonly window_ms: number | null
  readonly mode: 'panes' | 'exact' | null
  /** Length of a pane, milliseconds. */
  readonly pane_ms: number | null
  /** From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet. */
  readonly complete_from: number | null
  readonly key: string
  /** As type says; null: absent. A count is 0 for a key that nobody has seen. */
  readonly value: readonly (readonly (number | string)[] | string)[] | number | string | null
  /** The event time that the value is for; null where nothing has been applied yet. */
  readonly at: number | null
  /** Highest event time or tick that has been applied. */
  readonly as_of: number | null
  /** The watermark: nothing at or before it is expected any more. */
  readonly complete_through: number | null
  /** <stream>:<seq>.<index> of the last record in the snapshot. */
  readonly applied_through: string
  /** Number of the commit that the snapshot shows. */
  readonly epoch: number
  /** Hash of the configuration that the snapshot was computed under. */
  readonly config: string
  /** Whether at is not before complete_from. false: the value is of those events that were seen. */
  readonly complete: boolean
}

export interface ExplainFeatureQuery {
  /** Event time to answer for, milliseconds since 1970. Without it: as_of. */
  readonly at?: number | undefined
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ExplainFeatureAnswer {
  readonly feature: string
  readonly entity: string
  readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
  /** Length of the window, milliseconds; null where there is none. */
  readonly window_ms: number | null
  readonly mode: 'panes' | 'exact' | null
  /** Length of a pane, milliseconds. */
  readonly pane_ms: number | null
  /** From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet. */
  readonly complete_from: number | null
  readonly key: string
  /** Each after what it is computed of; the last is the one asked for. */
  readonly values: readonly {
    /** <entity>.<feature> */
    readonly feature: string
    /** What it is, in words. */
    readonly how: string
    /** As type says; null: absent. A count is 0 for a key that nobody has seen. */
    readonly value: readonly (readonly (number | string)[] | string)[] | number | string | null
    /** What a model gets where the value is absent; null: nothing. */
    readonly default: string | number | null
    /** Events from here on count, milliseconds; null: it is computed of the values before it. */
    readonly from: number | null
    /** Events before this count. */
    readonly to: number | null
    /** Those in which something was, the newest first. */
    readonly panes: readonly {
      /** Milliseconds of event time. */
      readonly start: number
      readonly width_ms: number
      readonly parts: readonly {
        /** count, sum, values, squares, least, greatest, distinct, tally. */
        readonly what: string
        /** As a number; of ids how many different ones. */
        readonly value: number
        /** Some of them. */
        readonly ids: readonly {
          readonly id: string
          /** How often it came; null: that is not counted. */
          readonly times: number | null
        }[]
      }[]
    }[]
    /** The events of a list, the newest first. */
    readonly entries: readonly {
      readonly event_time: number
      readonly type: string
      readonly event_id: string
      readonly value: string | number
    }[]
    /** false: there are older panes that are not shown. */
    readonly complete: boolean
  }[]
  /** The event time that the value is for; null where nothing has been applied yet. */
  readonly at: number | null
  /** Highest event time or tick that has been applied. */
  readonly as_of: number | null
  /** The watermark: nothing at or before it is expected any more. */
  readonly complete_through: number | null
  /** <stream>:<seq>.<index> of the last record in the snapshot. */
  readonly applied_through: string
  /** Number of the commit that the snapshot shows. */
  readonly epoch: number
  /** Hash of the configuration that the snapshot was computed under. */
  readonly config: string
  /** Whether at is not before complete_from. false: the value is of those events that were seen. */
  readonly complete: boolean
}

export interface ReadFeaturesBody {
  readonly keys: readonly string[]
  /** Event time to answer for, milliseconds since 1970. Without it: as_of. */
  readonly at?: number | undefined
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ReadFeaturesAnswer {
  readonly feature: string
  readonly entity: string
  readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
  /** Length of the window, milliseconds; null where there is none. */
  readonly window_ms: number | null
  readonly mode: 'panes' | 'exact' | null
  /** Length of a pane, milliseconds. */
  readonly pane_ms: number | null
  /** From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet. */
  readonly complete_from: number | null
  /** In the order of the keys. */
  readonly values: readonly {
    readonly key: string
    /** As type says; null: absent. A count is 0 for a key that nobody has seen. */
    readonly value: readonly (readonly (number | string)[] | string)[] | number | string | null
    /** Place in snapshots of the one that the value is from. */
    readonly snapshot: number
  }[]
  /** Each once, however many values are from it. */
  readonly snapshots: readonly {
    /** The event time that the value is for; null where nothing has been applied yet. */
    readonly at: number | null
    /** Highest event time or tick that has been applied. */
    readonly as_of: number | null
    /** The watermark: nothing at or before it is expected any more. */
    readonly complete_through: number | null
    /** <stream>:<seq>.<index> of the last record in the snapshot. */
    readonly applied_through: string
    /** Number of the commit that the snapshot shows. */
    readonly epoch: number
    /** Hash of the configuration that the snapshot was computed under. */
    readonly config: string
    /** Whether at is not before complete_from. false: the value is of those events that were seen. */
    readonly complete: boolean
  }[]
}

export interface TopFeaturesQuery {
  /** How many keys, 1 to 100: those with the largest values. The answer may be up to a second old. */
  readonly top: number
}

export interface TopFeaturesAnswer {
  readonly feature: string
  readonly entity: string
  readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
  /** Length of the window, milliseconds; null where there is none. */
  readonly window_ms: number | null
  readonly mode: 'panes' | 'exact' | null
  /** Length of a pane, milliseconds. */
  readonly pane_ms: number | null
  /** From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet. */
  readonly complete_from: number | null
  /** The largest first. */
  readonly values: readonly {
    readonly key: string
    /** The value over the window. */
    readonly value: number
    /** Place in snapshots of the one that the value is from. */
    readonly snapshot: number
  }[]
  /** Each once, however many values are from it. */
  readonly snapshots: readonly {
    /** The event time that the value is for; null where nothing has been applied yet. */
    readonly at: number | null
    /** Highest event time or tick that has been applied. */
    readonly as_of: number | null
    /** The watermark: nothing at or before it is expected any more. */
    readonly complete_through: number | null
    /** <stream>:<seq>.<index> of the last record in the snapshot. */
    readonly applied_through: string
    /** Number of the commit that the snapshot shows. */
    readonly epoch: number
    /** Hash of the configuration that the snapshot was computed under. */
    readonly config: string
    /** Whether at is not before complete_from. false: the value is of those events that were seen. */
    readonly complete: boolean
  }[]
  /** Entries of the state that were looked at. */
  readonly scanned: number
  /** false: there are more entries than one scan looks at; the list may miss keys, and counts be too small. */
  readonly complete: boolean
}

export interface ReadVectorsBody {
  /** Ids of features, such as user.clicks_7d. Without it: all that a touch can have. */
  readonly features?: readonly string[] | undefined
  readonly touches: readonly Readonly<Record<string, unknown>>[]
  /** Event time to answer for, milliseconds since 1970. Without it: as_of. */
  readonly at?: number | undefined
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ReadVectorsAnswer {
  /** Hash of the layout: equal for equal features. */
  readonly schema: string
  /** The layout: in the order of their ids, however they were asked for. */
  readonly features: readonly {
    readonly feature: string
    readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
    /** What a model gets where the value is absent; null: it sees that it is absent. */
    readonly default: number | string | null
    /** From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet. */
    readonly complete_from: number | null
  }[]
  /** In the order of the touches. */
  readonly vectors: readonly {
    /** In the order of features. */
    readonly values: readonly (readonly (readonly (number | string)[] | string)[] | number | string | null)[]
    /** Places in snapshots, one for each stage that was asked. */
    readonly snapshots: readonly number[]
  }[]
  /** Each once, however many vectors are from it. */
  readonly snapshots: readonly {
    readonly stage: string
    /** The event time that the value is for; null where nothing has been applied yet. */
    readonly at: number | null
    /** Highest event time or tick that has been applied. */
    readonly as_of: number | null
    /** The watermark: nothing at or before it is expected any more. */
    readonly complete_through: number | null
    /** <stream>:<seq>.<index> of the last record in the snapshot. */
    readonly applied_through: string
    /** Number of the commit that the snapshot shows. */
    readonly epoch: number
    /** Hash of the configuration that the snapshot was computed under. */
    readonly config: string
  }[]
}

export interface ListFeaturesAnswer {
  readonly features: readonly {
    readonly feature: string
    readonly entity: string
    readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
    /** Length of the window, milliseconds; null where there is none. */
    readonly window_ms: number | null
    readonly mode: 'panes' | 'exact' | null
    /** Length of a pane, milliseconds. */
    readonly pane_ms: number | null
    /** From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet. */
    readonly complete_from: number | null
    readonly description: string
    /** null: it is none that was declared. */
    readonly owner: string | null
    /** What it is, in words. */
    readonly how: string
    /** Where what it is made of is kept: it is as fresh as the tasks of this stage in /v1/status. */
    readonly stage: string
    /** Bytes of a record kept for it, at most; 0: computed of others; null: not known. */
    readonly bytes_max: number | null
    /** Whether ?top= can be asked: its values are numbers kept over a window. */
    readonly top: boolean
  }[]
}

export interface PinSnapshotAnswer {
  /** For the parameter of that name. */
  readonly snapshot: string
  readonly expires_in_ms: number
}

export interface StatusAnswer {
  /** Clock of the node, milliseconds since 1970, never set back: for rates between two looks. */
  readonly now_ms: number
  readonly tasks: readonly {
    readonly name: string
    readonly stage: string
    readonly partition: number
    /** opening, running, drained, stopped or halted. */
    readonly phase: string
    /** Number of the last commit. */
    readonly epoch: number
    /** Sequence of the last message that was applied. */
    readonly seq: number
    /** Messages in the stream behind it. */
    readonly pending: number
    /** Records that the stage before has published for it and that it has not taken; null in the first stage, whose messages do not say how many they hold. */
    readonly lag_records: number | null
    /** Milliseconds that the oldest message which is not readable yet has been in the stream. */
    readonly lag_ms: number
    /** Milliseconds from the stream to being readable, over the last 30 to 60 seconds; null: nothing came. */
    readonly readable_ms: {
      readonly p50: number
      readonly p99: number
      readonly max: number
      /** Messages that these are of. */
      readonly count: number
    } | null
    /** Milliseconds of event time. */
    readonly watermark: number | null
    /** Highest event time that it has applied, milliseconds: what is read of its state is as fresh as this. */
    readonly last_event: number | null
    readonly waiting: {
      /** broker: it does not answer. room: a stream is full. */
      readonly cause: string
      /** The stream. */
      readonly on: string
      readonly detail: string
      /** When the wait began, milliseconds on the clock of now_ms. */
      readonly since_ms: number
    } | null
    /** Hash of the configuration that holds for what it applied last. */
    readonly config: string
    /** Counters since the state of the task began. */
    readonly counts: Readonly<Record<string, number>>
  }[]
}

export class HoldfastClient {
  readonly #transport: Transport

  /** Throws TypeError where the URL is none. */
  constructor(options: ClientOptions) {
    this.#transport = new Transport(options)
  }

  /** The value of a feature for one key. Throws ApiError, NoAnswer. */
  async readFeature(
    feature: string,
    entity: string,
    key: string,
    query: ReadFeatureQuery = {},
  ): Promise<ReadFeatureAnswer> {
    return (await this.#transport.ask({
      method: 'GET',
      path: `/v1/features/${segment(feature)}/${segment(entity)}/${segment(key)}`,
      query,
    })) as ReadFeatureAnswer
  }

  /** What the value of a feature for one key is made of. Throws ApiError, NoAnswer. */
  async explainFeature(
    feature: string,
    entity: string,
    key: string,
    query: ExplainFeatureQuery = {},
  ): Promise<ExplainFeatureAnswer> {
    return (await this.#transport.ask({
      method: 'GET',
      path: `/v1/features/${segment(feature)}/${segment(entity)}/${segment(key)}/explain`,
      query,
    })) as ExplainFeatureAnswer
  }

  /** The values of a feature for up to 1,000 keys, in their order. Throws ApiError, NoAnswer. */
  async readFeatures(feature: string, entity: string, body: ReadFeaturesBody): Promise<ReadFeaturesAnswer> {
    return (await this.#transport.ask({
      method: 'POST',
      path: `/v1/features/${segment(feature)}/${segment(entity)}`,
      body,
    })) as ReadFeaturesAnswer
  }

  /** The keys with the largest values of a feature whose values are numbers over a window. Throws ApiError, NoAnswer. */
  async topFeatures(feature: string, entity: string, query: TopFeaturesQuery): Promise<TopFeaturesAnswer> {
    return (await this.#transport.ask({
      method: 'GET',
      path: `/v1/features/${segment(feature)}/${segment(entity)}`,
      query,
    })) as TopFeaturesAnswer
  }

  /** The feature vectors of touches: what a model gets. Throws ApiError, NoAnswer. */
  async readVectors(body: ReadVectorsBody): Promise<ReadVectorsAnswer> {
    return (await this.#transport.ask({ method: 'POST', path: '/v1/vectors', body })) as ReadVectorsAnswer
  }

  /** The features of the node. Throws ApiError, NoAnswer. */
  async listFeatures(): Promise<ListFeaturesAnswer> {
    return (await this.#transport.ask({ method: 'GET', path: '/v1/features' })) as ListFeaturesAnswer
  }

  /** Keeps the newest snapshot of every task for a bounded time. Throws ApiError, NoAnswer. */
  async pinSnapshot(): Promise<PinSnapshotAnswer> {
    return (await this.#transport.ask({ method: 'POST', path: '/v1/snapshots' })) as PinSnapshotAnswer
  }

  /** Gives a pinned snapshot back. Throws ApiError, NoAnswer. */
  async unpinSnapshot(id: string): Promise<void> {
    await this.#transport.ask({ method: 'DELETE', path: `/v1/snapshots/${segment(id)}` })
  }

  /** What each task of the node is doing. Throws ApiError, NoAnswer. */
  async status(): Promise<StatusAnswer> {
    return (await this.#transport.ask({ method: 'GET', path: '/v1/status' })) as StatusAnswer
  }
}
