// What a node says of the model that scores: GET /v1/status, metrics, `holdfast top`. Names are those of the JSON.

export interface ModelStatus {
  /** 0: none is live, and rates answer. */
  readonly version: number
  readonly activation: number
  /** Milliseconds since the live version was published; null: none is live. */
  readonly age_ms: number | null
  /** Whether it is older than it may become where the trainer publishes as it should. */
  readonly stale: boolean
  /** Versions that were published and did not become live since the node began, by why. */
  readonly refused: Readonly<Record<string, number>>
}

/** The same in a line for people. */
export function modelLine({ version, age_ms, stale, refused }: ModelStatus): string {
  const others = Object.values(refused).reduce((sum, count) => sum + count, 0)
  const kept = others === 0 ? '' : ` · ${others} published and refused`
  if (version === 0 || age_ms === null) return `no version is live: rates answer${kept}`
  return `version ${version}, published ${ageText(age_ms)} ago${stale ? ', which is too old' : ''}${kept}`
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

function ageText(ms: number): string {
  const [name, unit] = UNITS.find(([, least]) => ms >= least) ?? UNITS.at(-1)!
  return `${Math.floor(ms / unit)} ${name}`
}
