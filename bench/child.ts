// Measurements run in processes of their own: heap, compiled code and RSS are those of one measurement and of nothing before it.
// CH1: a child never outlives its parent: it ends when the channel closes. Its nats-server ends with it (guarded-child.ts).
// CH2: a child that fails says why and ends with another code than 0; the parent throws.

import { fork } from 'node:child_process'
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../cli/node-flags.mjs'

export interface ChildOptions {
  /** Ends the child. */
  readonly signal: AbortSignal
  /** Hears what the child says while it works. */
  readonly say: (line: string) => void
}

type FromChild<R> = { readonly say: string } | { readonly result: R }

/** Runs a program of bench/ with a task that is plain data; settles with what it reports. */
export function runChild<R>(file: URL, task: unknown, { signal, say }: ChildOptions): Promise<R> {
  return new Promise((resolve, reject) => {
    const env = { ...NODE_ENVIRONMENT, ...process.env }
    const child = fork(file, { signal, execArgv: [...NODE_FLAGS], stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env })
    let outcome: { result: R } | null = null
    child.on('message', (message: FromChild<R>) => {
      if ('say' in message) say(message.say)
      else outcome = message
    })
    // An abort ends the child; what it leaves is cleared away after its end.
    child.on('error', (error) => {
      if (!signal.aborted) reject(error)
    })
    child.on('exit', (code, killedBy) => {
      if (code === 0 && outcome !== null) resolve(outcome.result)
      else reject(new Error(`${file.pathname.split('/').at(-1)} ended with ${killedBy ?? code}`))
    })
    child.send(task as object)
  })
}

/** The other side: does the one task that comes, reports, and ends. */
export function serveParent<T, R>(work: (task: T, say: (line: string) => void) => Promise<R>): void {
  process.once('disconnect', () => process.exit(1))
  const say = (line: string): void => void process.send!({ say: line })
  process.once('message', (task: T) => {
    work(task, say).then(
      (result) => process.send!({ result }, () => process.exit(0)),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
}
