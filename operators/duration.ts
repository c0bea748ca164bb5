// Lengths of time as people write them in configuration: "28d", "90m", "300s".

/** Milliseconds of each unit. */
export const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Seven digits: three months of seconds, and no more than a double holds exactly. */
const DURATION = /^([1-9][0-9]{0,6})([smhd])$/

/** Milliseconds; null: the text is no length of time. */
export function durationMs(text: string): number | null {
  const [, count, unit] = DURATION.exec(text) ?? []
  return count === undefined ? null : Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS]
}
