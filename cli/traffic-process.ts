// The traffic of `npm start`: `holdfast generate` in a process of its own, for as long as there is somebody to look at it.
// TP1: when one ends that has sent all it should, another goes on with the next seed.
// TP2: one that ends with an error is not started again, as it would fail again: what it said last is handed on.
// TP3: after stop() no process runs, and nothing more is said.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** Seconds of the generated world in one of ours: four weeks last an hour and a bit. */
const SPEED = 600
/** Events a second: enough that counts are seen to rise, little for any laptop. */
const RATE = 300
/**
 * Seconds of one process: a day, the longest that `generate` takes. Its memory does not grow with it. The next one begins with
 * the same event_ids for other events, so a few of these are of a user who had that id already: duplicates.
 */
const DURATION_S = 86_400
/** Of what a process says on stderr: its last line is why it ended. */
const SAID_CHARS_KEPT = 4_096

export interface TrafficOptions {
  /** The front door. */
  readonly url: string
  /** Told, in a line, why there is no more traffic. */
  readonly say: (line: string) => void
  readonly durationS?: number
}

export class TrafficProcess {
  readonly #o: TrafficOptions
  #seed = 1
  #isStopped = false
  #child: ChildProcess

  constructor(options: TrafficOptions) {
    this.#o = options
    this.#child = this.#start()
  }

  /** TP3. By its pid; it may have had the same Ctrl-C. */
  async stop(): Promise<void> {
    this.#isStopped = true
    const { exitCode, signalCode } = this.#child
    if (exitCode !== null || signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await exit
  }

  #start(): ChildProcess {
    const { url, durationS = DURATION_S } = this.#o
    const pace = ['--speed', String(SPEED), '--rate', String(RATE), '--duration', String(durationS)]
    const command = [join(import.meta.dirname, 'main.ts'), 'generate', '--world', '--url', url, ...pace]
    const child = spawn(process.execPath, [...command, '--seed', String(this.#seed)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_CHARS_KEPT)
    })
    child.once('close', (code, signal) => {
      if (this.#isStopped) return
      if (code === 0) {
        this.#seed++
        this.#child = this.#start()
      } else {
        const why = said.trimEnd().split('\n').at(-1) || `it was ended by ${signal ?? `exit code ${code}`}`
        this.#o.say(`the generated traffic has ended, the node goes on: ${why.replace(/^holdfast: /, '')}`)
      }
    })
    return child
  }
}
