// The models of a running node: what the trainer publishes becomes live (topology/model-keeper.ts), and a model that grows old is said.
// NM1: an alarm is given once, when a version has become too old; the next one may be given when another version is live.

import { LogUnavailable } from '../log/log.ts'
import type { ModelStatus } from '../sinks/model-status.ts'
import type { ModelKeeper } from '../topology/model-keeper.ts'
import type { ScoringSettings } from '../topology/models/scoring-settings.ts'
import { NodeLooks } from './node-looks.ts'

/** Periods without a new version after which the live one is too old: one may be refused, two in a row are no accident. */
const PERIODS_MAX = 3

/** How old a live version may become, milliseconds. */
export const staleAfterMs = ({
  period,
  activationDelay,
}: Pick<ScoringSettings, 'period' | 'activationDelay'>): number => PERIODS_MAX * period + activationDelay

type Keeper = Pick<ModelKeeper, 'look' | 'onNews' | 'liveAt' | 'refused'>

export class NodeModels {
  readonly #keeper: Keeper
  readonly #staleMs: number
  readonly #say: (line: string) => void
  #complaint = ''
  /** The last version that an alarm was given of. */
  #alarmed = 0
  readonly #looks = new NodeLooks(() => this.#look())

  constructor(keeper: Keeper, staleMs: number, say: (line: string) => void) {
    this.#keeper = keeper
    this.#staleMs = staleMs
    this.#say = say
  }

  /** One look. Never throws for what the world can do. */
  look(): Promise<void> {
    return this.#looks.look()
  }

  /** Looks when there are news, too; returns what ends that. */
  follow(): () => void {
    return this.#keeper.onNews(this.#looks.news)
  }

  async #look(): Promise<void> {
    try {
      await this.#keeper.look()
      this.#complaint = ''
    } catch (error) {
      // Who is away is asked again at the next look.
      if (!(error instanceof LogUnavailable)) this.#complain(error)
    }
    const { version, stale } = this.status()
    if (!stale || version === this.#alarmed) return
    this.#alarmed = version
    this.#say(
      `model version ${version} is too old: none has become live for ${PERIODS_MAX} periods (holdfast model list)`,
    )
  }

  /** What is live now. */
  status(): ModelStatus {
    const now = Date.now()
    const live = this.#keeper.liveAt(now)
    const age = live === null ? null : Math.max(0, now - live.publishedMs)
    return {
      ...{ version: live?.version ?? 0, activation: live?.activation ?? 0, age_ms: age },
      ...{ stale: age !== null && age > this.#staleMs, refused: Object.fromEntries(this.#keeper.refused) },
    }
  }

  #complain(error: unknown): void {
    const complaint = error instanceof Error ? error.message : String(error)
    if (complaint !== this.#complaint) this.#say(`${complaint}; the model that is live stays`)
    this.#complaint = complaint
  }
}
