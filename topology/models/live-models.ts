// Models that score while they change: of each touch the version that holds at its order time (docs/model-loop.md).
// LM1: a file is loaded before the first touch that it scores, and refused as a function of its bytes and its record: every replay, and
//      every partition, decides alike. Then the version before it answers, and so on; behind the last one known, rates.
// LM2: rates answer where no version can: those of the last good one, before any the prior. Their version is 0.
// LM3: one run of the session for each version that is met in a batch.
// LM4: versions in memory are those that were asked last, LOADED_MAX at most: they are shared by the tasks of a thread.

import { HoldfastError } from '../../log/errors.ts'
import { FEATURES_RELEASE, schemaHash } from '../../ml/touch-features.ts'
import type { ActiveModel } from '../../operators/model-records.ts'
import { inSingle } from '../../operators/scored.ts'
import {
  type Answer,
  type Asked,
  FALLBACK_NAME,
  FALLBACK_VERSION,
  type ModelContext,
  type ScoringModels,
} from '../../operators/scorer.ts'
import type { TouchType } from '../../operators/touch.ts'
import { OnnxModel, type Refusal } from './onnx-model.ts'
import { type Told, ToldModel } from './told-model.ts'

/** The one that scores, the next one, and those before them that a refusal goes back to: more are met only where many are refused. */
export const LOADED_MAX = 4

export interface LiveSettings {
  readonly windows: readonly { readonly name: string; readonly click: boolean; readonly impression: boolean }[]
  /** Schema of the vectors that touches have; null: none. */
  readonly vector: string | null
  /** What is said of a window before any version is there, within (0, 1). */
  readonly prior: number
}

/** A version, or why it is none. */
type Loaded = { readonly model: ToldModel } | { readonly refused: string }

/** Who answers for a touch. */
interface Choice {
  readonly active: ActiveModel | null
  readonly model: ToldModel | null
  readonly refused: readonly string[]
}

/** Who may answer for a touch, the first first; which they are depends on its time, also where the first is the same. */
const candidatesIn = (active: ActiveModel | null): readonly ActiveModel[] =>
  active === null ? [] : [active, ...(active.before ?? [])]

export class LiveModels implements ScoringModels {
  readonly windows: readonly string[]
  readonly settings: LiveSettings
  readonly #schema: string
  readonly #priors: Readonly<Record<TouchType, Told>>
  /** By file and schema of the record; who was asked last is last (LM4). */
  readonly #loaded = new Map<string, Promise<Loaded>>()

  constructor(settings: LiveSettings) {
    const { windows, vector, prior } = settings
    this.settings = settings
    this.windows = windows.map(({ name }) => name)
    this.#schema = schemaHash({ features: FEATURES_RELEASE, vector })
    const priorsOf = (type: TouchType): Told => {
      const p = windows.map((window) => (window[type] ? inSingle(prior) : 0))
      return { p, expected: p }
    }
    this.#priors = { click: priorsOf('click'), impression: priorsOf('impression') }
  }

  async answer(asked: readonly Asked[], ctx: ModelContext): Promise<readonly Answer[]> {
    const choices = new Map<string, Choice>()
    const chosen: Choice[] = []
    let [last, choice]: [ActiveModel | null | undefined, Choice | undefined] = [undefined, undefined]
    for (const { at } of asked) {
      const active = ctx.model(at)
      // Most often the same version holds for all of a batch.
      if (active !== last) {
        const key = candidatesIn(active)
          .map(({ activation }) => activation)
          .join()
        choice = choices.get(key) ?? (await this.#choice(active, ctx))
        choices.set(key, choice)
        last = active
      }
      chosen.push(choice!)
    }
    if (choices.size === 1) return this.#asked(choice!, asked)
    const answers = new Array<Answer>(asked.length)
    for (const one of choices.values()) {
      const places = [...asked.keys()].filter((place) => chosen[place] === one)
      const said = await this.#asked(
        one,
        places.map((place) => asked[place]!),
      )
      for (const [i, place] of places.entries()) answers[place] = said[i]!
    }
    return answers
  }

  /** LM1. */
  async #choice(active: ActiveModel | null, ctx: ModelContext): Promise<Choice> {
    const refused: string[] = []
    for (const candidate of candidatesIn(active)) {
      const loaded = await this.#load(candidate, ctx)
      if ('model' in loaded) return { active: candidate, model: loaded.model, refused }
      refused.push(loaded.refused)
    }
    return { active: null, model: null, refused }
  }

  /** LM3. */
  async #asked({ active, model, refused }: Choice, asked: readonly Asked[]): Promise<readonly Answer[]> {
    const rates = (one: Asked): Answer => {
      const told = model === null ? this.#priors[one.touch.type] : model.rates(one)
      return { version: FALLBACK_VERSION, name: FALLBACK_NAME, ...told, refused }
    }
    if (active === null || model === null) return asked.map(rates)
    const said = await model.score(asked).catch(() => null)
    const { version } = active
    const name = String(version)
    return asked.map((one, i) => {
      const told = said?.[i] ?? null
      return told === null ? rates(one) : { version, name, p: told.p, expected: told.expected, refused }
    })
  }

  /** LM4. */
  async #load(active: ActiveModel, ctx: ModelContext): Promise<Loaded> {
    const key = `${active.sha256} ${active.schema}`
    for (let known = this.#loaded.get(key); known !== undefined; known = this.#loaded.get(key)) {
      this.#loaded.delete(key)
      this.#loaded.set(key, known)
      // Whoever asked first may be told to stop: that is no answer to the others.
      const loaded = await known.catch(() => null)
      if (loaded !== null) return loaded
    }
    const fetched = this.#fetch(active, ctx)
    this.#loaded.set(key, fetched)
    // Whoever could not ask asks again. A session is released with the last who runs it.
    fetched.catch(() => this.#loaded.delete(key))
    for (const oldest of this.#loaded.keys()) {
      if (this.#loaded.size <= LOADED_MAX) break
      this.#loaded.delete(oldest)
    }
    return fetched
  }

  async #fetch({ sha256, schema }: ActiveModel, ctx: ModelContext): Promise<Loaded> {
    try {
      const model = await OnnxModel.load(await ctx.blobOf(sha256), sha256)
      if (schema !== this.#schema || model.manifest.schema !== this.#schema)
        return { refused: 'schema' satisfies Refusal }
      return { model: new ToldModel(model, this.windows) }
    } catch (cause) {
      const { code, numbers } = cause instanceof HoldfastError ? cause : { code: null, numbers: null }
      if (code === 'BLOB_DAMAGED') return { refused: 'hash' satisfies Refusal }
      if (code !== 'MODEL_REFUSED') throw cause
      return { refused: String(numbers.reason) }
    }
  }
}
