// The state part: bench/state.ts as a program of its own, whose figures go straight to the terminal.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Runs it to its end. */
export function stateCosts(signal: AbortSignal): Promise<void> {
  const program = fileURLToPath(import.meta.resolve('./state.ts'))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program], { signal, stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', reject)
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`state.ts ended with ${code}`))))
  })
}
