// What a cell of a load is, whichever program measures it (throughput.ts, joiner-run.ts): so many events, in frames or single, in a
// process and a directory of its own.

import { join } from 'node:path'
import { type ChildOptions, runChild } from './child.ts'

export interface LoadTask {
  readonly events: number
  /** Events in one message; 1: no array around it. */
  readonly perMessage: number
  /** Of the graph: tasks per stage, and streams that its input is in. */
  readonly partitions: number
  /** Of the graph: its tasks share them. */
  readonly threads: number
  readonly samples: number
  /** Where the server and the state live; the program removes it. */
  readonly directory: string
  /** Where to write what the calling thread did in one more run of the graph; null: nowhere. */
  readonly profile: string | null
}

export interface LoadOptions extends ChildOptions, Omit<LoadTask, 'events' | 'perMessage'> {
  readonly framedEvents: number
  readonly singleEvents: number
}

const FRAME_EVENTS = 100
/** Events in a message. */
export const FORMATS = [FRAME_EVENTS, 1]

export function loadTask(o: LoadOptions, name: string, perMessage: number): LoadTask {
  return {
    perMessage,
    events: perMessage === 1 ? o.singleEvents : o.framedEvents,
    ...{ partitions: o.partitions, threads: o.threads, samples: o.samples },
    directory: join(o.directory, name),
    profile: o.profile === null ? null : join(o.profile, `${name}.cpuprofile`),
  }
}

/** Runs the program that measures the cell of this name. */
export async function loadCell<R extends object, T extends LoadTask>(
  program: URL,
  name: string,
  task: T,
  { signal, say }: ChildOptions,
): Promise<R & { readonly task: T }> {
  return { task, ...(await runChild<R>(program, task, { signal, say: (line) => say(`${name}: ${line}`) })) }
}
