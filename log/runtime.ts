// The few impure things that the shells of log/ and topology/ need, handed in so that a simulation can hand in its own.
// Nothing here may influence an output byte.

export interface Runtime {
  /** Milliseconds, monotonic; for lingers, heartbeats and progress only. */
  now(): number
  sleep(ms: number): Promise<void>
  /** Lets the event loop take its turn. */
  turn(): Promise<void>
  /** A named place where a test may end the process (reliability.md, section 3). No-op otherwise. `by`: the writer or task that passes it. */
  killPoint(name: string, by?: string): void
}

export const realRuntime: Runtime = {
  // From 1970 on, as no thread's own clock is: what one says another may compare.
  now: () => performance.timeOrigin + performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  killPoint: () => {},
}
