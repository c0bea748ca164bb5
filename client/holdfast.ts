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

export interface ReadAttributionQuery {
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ReadAttributionAnswer {
  readonly conversion_id: string
  /** One for each conversion of this id, up to 8, the newest first: ids are a user's own. */
  readonly attributions: readonly {
    /** Of the event: conversion, or another that a goal names. */
    readonly type: string
    /** Whose it is: after its click was looked for. */
    readonly user_id: string
    /** That it carried. */
    readonly own_user_id: string | null
    /** Whose it is by: its own user_id, the click with its click_id, or nobody. */
    readonly owner: 'own' | 'click' | 'nobody'
    /** The same in words. */
    readonly owner_why: string
    readonly event_time: number
    readonly advertiser_id: string
    /** null: it has none. */
    readonly order_id: string | null
    /** null: it has none. */
    readonly click_id: string | null
    readonly value: number | null
    /** null: it has none. */
    readonly currency: string | null
    /** It came after the watermark, and was attributed on arrival. */
    readonly late: boolean
    /** 0: the first attribution; above: said anew, as a touch came late. */
    readonly revision: number
    /** Whether somebody is credited, and else why nobody is. */
    readonly outcome: 'credited' | 'no_candidate' | 'goal_gone' | 'refund' | 'bot' | 'anonymous' | 'no_goal'
    /** The same in words. */
    readonly outcome_why: string
    /** Of its user and advertiser within the longest window, the oldest first. */
    readonly touches: readonly {
      readonly touch_id: string
      readonly type: 'click' | 'impression'
      readonly event_time: number
      /** Before the conversion. */
      readonly age_ms: number
      readonly campaign_id: string
      readonly ad_id: string
      /** Whether its click_id is the conversion's. */
      readonly has_click_id: boolean
    }[]
    /** There were; of more than are kept the youngest ones are told. */
    readonly touches_total: number
    /** Of each goal each window. */
    readonly windows: readonly {
      /** null: no goals are declared. */
      readonly goal: string | null
      readonly window: string
      /** In words. */
      readonly rule: string
      readonly touches: readonly {
        /** Place in touches. */
        readonly touch: number
        /** null: it is a candidate. */
        readonly out: 'after' | 'too_old' | 'kind' | 'precedence' | 'goal' | null
        /** By how much it came too late or is too old. */
        readonly by_ms: number | null
        /** The same in words. */
        readonly why: string | null
      }[]
      readonly models: readonly {
        /** Its name. */
        readonly model: 'last_touch' | 'first_touch' | 'linear' | 'time_decay' | 'position'
        /** In words. */
        readonly rule: string
        /** Who is credited; none: nobody, or it is not known. */
        readonly credits: readonly {
          /** Place in touches. */
          readonly touch: number
          readonly credit: number
          /** The rule in words and numbers. */
          readonly how: string
        }[]
        /** false: some of the candidates were not kept, and this model needs them all. */
        readonly known: boolean
      }[]
    }[]
    /** Windows that the answer has no room for. */
    readonly windows_left_out: number
    /** Place in snapshots of the one that this is from. */
    readonly snapshot: number
  }[]
  /** Whether there are more. */
  readonly more: boolean
  /** Each once. */
  readonly snapshots: readonly {
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

export interface ReadPurchasesQuery {
  /** For whom purchases are summed; the advertiser as a whole by default. */
  readonly by?: 'advertiser' | 'campaign' | 'ad' | undefined
  /** Of attribution; the first that is configured by default. */
  readonly window?: string | undefined
  /** Where goals are declared. */
  readonly goal?: string | undefined
  /** First day of touches, like 2026-03-29; at most 397 days before the last one. */
  readonly from?: string | undefined
  /** Last day; by default today, and then, or with it, 28 days. */
  readonly to?: string | undefined
  /** Name of the IANA database, such as Europe/Berlin; the advertiser's by default. */
  readonly time_zone?: string | undefined
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ReadPurchasesAnswer {
  readonly advertiser_id: string
  readonly by: 'advertiser' | 'campaign' | 'ad'
  /** null: no goals are declared. */
  readonly goal: string | null
  readonly window: string
  readonly time_zone: string
  /** Conversions up to here, milliseconds, are credited; null: nothing has come yet. */
  readonly through: number | null
  /** Conversions of mature days on which estimates rest. */
  readonly curve: {
    /** Of the advertiser. */
    readonly own: number
    readonly all: number
  }
  readonly days: readonly {
    /** Date in the time zone. */
    readonly day: string
    /** Milliseconds. */
    readonly from: number
    /** Milliseconds, exclusive. */
    readonly to: number
    /** 23 or 25 where clocks were put forward or back. */
    readonly hours: number
    /** Whether every touch of the day is older than the window. */
    readonly mature: boolean
    /** The part of its conversions that has come, by the delay curve; null: too few conversions are known to say. */
    readonly share: number | null
  }[]
  /** Where there are some; by currency, day, count (the largest first), id. */
  readonly purchases: readonly {
    /** Place in days. */
    readonly day: number
    /** Of the ad, campaign or advertiser. */
    readonly id: string
    /** none: it has none. */
    readonly currency: string
    /** credited - taken_back. */
    readonly count: number
    /** The same of values, in units of the currency. */
    readonly value: number
    readonly credited: number
    /** Whole orders. */
    readonly taken_back: number
    readonly credited_value: number
    /** Of parts of orders, too. */
    readonly taken_back_value: number
    /** too_few: the window is open, and too little is known for an estimate. */
    readonly state: 'mature' | 'estimated' | 'too_few'
    readonly estimate: {
      /** When the window is closed, as far as nothing more is taken back. */
      readonly count: number
      /** Between low and high it is with a probability of 90 %. */
      readonly low: number
      readonly high: number
      readonly value: number
    } | null
  }[]
  /** Of all of purchases together: by currency, each day, then all days. */
  readonly totals: readonly {
    /** Place in days; null: of all of them. */
    readonly day: number | null
    /** none: it has none. */
    readonly currency: string
    /** credited - taken_back. */
    readonly count: number
    /** The same of values, in units of the currency. */
    readonly value: number
    readonly credited: number
    /** Whole orders. */
    readonly taken_back: number
    readonly credited_value: number
    /** Of parts of orders, too. */
    readonly taken_back_value: number
    /** too_few: the window is open, and too little is known for an estimate. */
    readonly state: 'mature' | 'estimated' | 'too_few'
    readonly estimate: {
      /** When the window is closed, as far as nothing more is taken back. */
      readonly count: number
      /** Between low and high it is with a probability of 90 %. */
      readonly low: number
      readonly high: number
      readonly value: number
    } | null
  }[]
  /** Of the advertiser's task. */
  readonly snapshot: {
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
  }
}

export interface ReadEvaluationQuery {
  /** Of attribution; the first that is configured by default. */
  readonly window?: string | undefined
  /** What slices are by; all by default: there is one. */
  readonly slice?: 'all' | 'advertiser' | 'version' | 'type' | undefined
  /** Of which slice total, days and curve are; of all touches by default. */
  readonly id?: string | undefined
  /** Days of touches (UTC), the newest that have begun; 42 by default. */
  readonly days?: number | undefined
  /** A pinned snapshot. Without it: the newest. */
  readonly snapshot?: string | undefined
  /** Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot. */
  readonly wait?: string | undefined
  /** How long to wait at most, milliseconds; 2000 where it is not said. Only with wait. */
  readonly timeout_ms?: number | undefined
}

export interface ReadEvaluationAnswer {
  readonly window: string
  /** What slices are by; all by default: there is one. */
  readonly slice: 'all' | 'advertiser' | 'version' | 'type'
  readonly id: string | null
  /** Label rows up to here, milliseconds, are counted; null: none has come yet. */
  readonly through: number | null
  /** Label rows of all windows since the beginning, by what became of them. */
  readonly rows: {
    /** M, in the figures. */
    readonly mature: number
    /** O and D, for what is estimated. */
    readonly open: number
    /** Scored by the fallback: in no figure but those of version 0. */
    readonly fallback: number
    /** Their window was not seen to its end. */
    readonly incomplete: number
    /** Nothing was said of the touch. */
    readonly unscored: number
    /** Their day was forgotten. */
    readonly expired: number
    /** C and R. */
    readonly other: number
  }
  /** Of these days together. */
  readonly total: {
    /** Those whose window is over. */
    readonly touches: number
    /** Of these, those that converted. */
    readonly positives: number
    /** Nats per touch. */
    readonly log_loss: number | null
    /** Log loss / entropy of the touches' own rate: who always says that rate is at 1; less is better. null: all or none of them converted. */
    readonly normalised_entropy: number | null
    /** Sum of probabilities / conversions: above 1 promises too much. null: none converted. */
    readonly calibration: number | null
    /** Between low and high it is with 95 %, by the chance of the conversions (Byar, Poisson). */
    readonly calibration_low: number | null
    /** The upper end. */
    readonly calibration_high: number | null
    /** The chance that a touch that converts has a higher probability than one that does not. */
    readonly auc: number | null
    /** Probabilities are kept in bins: the AUC of the single touches is at most this far off. */
    readonly auc_error: number | null
  }
  /** Of windows that are open. null: all are over, or too few conversions tell how long they take. */
  readonly estimated: {
    readonly touches: number
    /** Conversions that the probabilities promise by now, by the age of each touch. */
    readonly promised: number
    /** Touches that are known to have converted. */
    readonly known: number
    /** promised / known; null: too few are known. */
    readonly calibration: number | null
    readonly calibration_low: number | null
    readonly calibration_high: number | null
  } | null
  /** Of these days together, by probability: points of some conversions each. */
  readonly curve: readonly {
    /** Probabilities of the point: from, inclusive, to, exclusive. */
    readonly from: number
    readonly to: number
    readonly touches: number
    readonly positives: number
    /** Mean of the probabilities. */
    readonly p: number
    /** positives / touches. */
    readonly rate: number
    /** Between low and high it is with 95 % (Wilson). */
    readonly low: number
    readonly high: number
  }[]
  /** Those on which something is known. */
  readonly days: readonly {
    /** UTC date of the touches. */
    readonly day: string
    /** Whether every touch of the day is older than the window. */
    readonly mature: boolean
    /** Those whose window is over. */
    readonly touches: number
    /** Of these, those that converted. */
    readonly positives: number
    /** Nats per touch. */
    readonly log_loss: number | null
    /** Log loss / entropy of the touches' own rate: who always says that rate is at 1; less is better. null: all or none of them converted. */
    readonly normalised_entropy: number | null
    /** Sum of probabilities / conversions: above 1 promises too much. null: none converted. */
    readonly calibration: number | null
    /** Between low and high it is with 95 %, by the chance of the conversions (Byar, Poisson). */
    readonly calibration_low: number | null
    /** The upper end. */
    readonly calibration_high: number | null
    /** The chance that a touch that converts has a higher probability than one that does not. */
    readonly auc: number | null
    /** Probabilities are kept in bins: the AUC of the single touches is at most this far off. */
    readonly auc_error: number | null
    /** Of windows that are open. null: all are over, or too few conversions tell how long they take. */
    readonly estimated: {
      readonly touches: number
      /** Conversions that the probabilities promise by now, by the age of each touch. */
      readonly promised: number
      /** Touches that are known to have converted. */
      readonly known: number
      /** promised / known; null: too few are known. */
      readonly calibration: number | null
      readonly calibration_low: number | null
      readonly calibration_high: number | null
    } | null
  }[]
  /** Over these days, the most touches first. */
  readonly slices: readonly {
    /** Advertiser, version (0: the fallback), click or impression; empty: all, or the rest without a name. */
    readonly id: string
    /** Those whose window is over. */
    readonly touches: number
    /** Of these, those that converted. */
    readonly positives: number
    /** Nats per touch. */
    readonly log_loss: number | null
    /** Log loss / entropy of the touches' own rate: who always says that rate is at 1; less is better. null: all or none of them converted. */
    readonly normalised_entropy: number | null
    /** Sum of probabilities / conversions: above 1 promises too much. null: none converted. */
    readonly calibration: number | null
    /** Between low and high it is with 95 %, by the chance of the conversions (Byar, Poisson). */
    readonly calibration_low: number | null
    /** The upper end. */
    readonly calibration_high: number | null
    /** The chance that a touch that converts has a higher probability than one that does not. */
    readonly auc: number | null
    /** Probabilities are kept in bins: the AUC of the single touches is at most this far off. */
    readonly auc_error: number | null
  }[]
  readonly snapshot: {
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
  }
}

export interface StatusAnswer {
  /** Clock of the node, milliseconds since 1970, never set back: for rates between two looks. */
  readonly now_ms: number
  readonly tasks: readonly {
    readonly name: string
    readonly stage: string
    readonly partition: number
    /** The stages that it sends records to. */
    readonly sends_to: readonly {
      readonly stage: string
      /** Whether it sends to the task of its own partition alone. */
      readonly same_partition: boolean
    }[]
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
  /** What is attributed and labelled so far; null: the node attributes nothing. */
  readonly attribution: {
    /** A window, or with declared goals a window of a goal. */
    readonly lanes: readonly {
      /** null: no goals are declared. */
      readonly goal: string | null
      readonly window: string
      /** Conversions that somebody has the credit of. */
      readonly attributed: number
      /** Conversions that nobody has the credit of. */
      readonly unattributed: number
      readonly rows: {
        /** Observed. */
        readonly O: number
        /** Delayed positives. */
        readonly D: number
        /** Mature. */
        readonly M: number
        /** Corrections. */
        readonly C: number
        /** Refunds. */
        readonly R: number
      }
      /** Touches that are credited. */
      readonly credited: number
      /** Touches by which credits and label rows differ: 0, or a bug. */
      readonly difference: number
    }[]
    /** Touches that came after conversions they could be credited with. */
    readonly late_touches: number
    /** Refunds of orders that nobody knows. */
    readonly refunds_unmatched: number
  } | null
  /** The version that scores; null: the node trains no model. */
  readonly model: {
    /** 0: none is live, and rates answer. */
    readonly version: number
    /** Number of the activation that made it live. */
    readonly activation: number
    /** Milliseconds since it was published; null: none is live. */
    readonly age_ms: number | null
    /** Older than it may become where the trainer publishes as it should. */
    readonly stale: boolean
    /** Versions that were published and did not become live since the node began, by why. */
    readonly refused: Readonly<Record<string, number>>
  } | null
  /** Windows for which scores are judged (/v1/models/evaluation); null: the node trains no model. */
  readonly evaluated: readonly string[] | null
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

  /** Who is credited with a conversion, and why: its touches, and what each window and model says of them. Throws ApiError, NoAnswer. */
  async readAttribution(conversion: string, query: ReadAttributionQuery = {}): Promise<ReadAttributionAnswer> {
    return (await this.#transport.ask({
      method: 'GET',
      path: `/v1/attributions/${segment(conversion)}`,
      query,
    })) as ReadAttributionAnswer
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

  /** What ads, campaigns or an advertiser sold by last touch, by day of the touch, with what is still to come. Throws ApiError, NoAnswer. */
  async readPurchases(advertiser: string, query: ReadPurchasesQuery = {}): Promise<ReadPurchasesAnswer> {
    return (await this.#transport.ask({
      method: 'GET',
      path: `/v1/purchases/${segment(advertiser)}`,
      query,
    })) as ReadPurchasesAnswer
  }

  /** How good the scores were that touches got when they came, by day of the touch and by slice. Throws ApiError, NoAnswer. */
  async readEvaluation(query: ReadEvaluationQuery = {}): Promise<ReadEvaluationAnswer> {
    return (await this.#transport.ask({ method: 'GET', path: '/v1/models/evaluation', query })) as ReadEvaluationAnswer
  }

  /** What each task of the node is doing. Throws ApiError, NoAnswer. */
  async status(): Promise<StatusAnswer> {
    return (await this.#transport.ask({ method: 'GET', path: '/v1/status' })) as StatusAnswer
  }
}
