// How many rows of something go by in a second, of time and of CPU.

export interface Rate {
  /** Rows in a second of time, and of the CPU of the whole process (V8's helpers and RocksDB's threads as well): the best of the samples. */
  readonly rowsPerS: number
  readonly rowsPerCpuS: number
}

/** CPU of a sample, at least: the system counts it in milliseconds. */
const SAMPLE_CPU_MS = 50

/** Of passes over `rows` rows each, after one to warm up. */
export async function rateOf(pass: () => void | Promise<void>, rows: number, samples: number): Promise<Rate> {
  await pass()
  let [rowsPerS, rowsPerCpuS] = [0, 0]
  for (let sample = 0; sample < samples; sample++) {
    const before = process.cpuUsage()
    const startedAt = performance.now()
    let [done, cpuMs] = [0, 0]
    while (cpuMs < SAMPLE_CPU_MS) {
      await pass()
      done += rows
      const { user, system } = process.cpuUsage(before)
      cpuMs = (user + system) / 1_000
    }
    rowsPerS = Math.max(rowsPerS, (1_000 * done) / (performance.now() - startedAt))
    rowsPerCpuS = Math.max(rowsPerCpuS, (1_000 * done) / cpuMs)
  }
  return { rowsPerS, rowsPerCpuS }
}
