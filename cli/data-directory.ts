// The directory in which `run` and `node` keep their log and state, so that what was interrupted can go on.
// DD1: a run's belongs to one file, one number of partitions, one configuration and one release; anything else is refused,
//      because the log in it was written under them.
// DD2: a node's belongs to one namespace and one number of partitions (every key's state lies in the partition of its hash).
//      Features, and what vectors have of them, may change in both as cli/kept-features.ts says; in a node's the shadows, too.
// DD3: what is refused leaves the directory as it was.
// DD4: a node's keeps the configuration it was made with, for what its log says before the first `config` record; what holds
//      now is in the registry of the namespace (topology/config-registry.ts).

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import stringify from 'fast-json-stable-stringify'
import { HoldfastError } from '../log/errors.ts'
import type { ModelFile } from '../topology/models/model-file.ts'
import { featuresAfter, type KeptFeatures } from './kept-features.ts'
import type { Config } from './settings.ts'

/** What a run must not change when it goes on. */
export interface RunIdentity {
  readonly release: string
  /** Of the plan without declared features, which may change. */
  readonly fingerprint: string
  readonly namespace: string
  readonly inputSha256: string
  /** SHA-256 of the model that scores, or NO_MODEL. */
  readonly model: string
  /** Of models that are only looked at. */
  readonly shadows: readonly string[]
}

export const NO_MODEL = 'none'

/** From what a plan is made again, by `explain` and `audit`. */
export interface PlanShape extends KeptFeatures {
  readonly namespace: string
  readonly partitions: number
  readonly config: Config
  /** Of a run: what scores its touches. */
  readonly model?: ModelFile | undefined
  /** What is only looked at. */
  readonly shadows?: readonly ModelFile[] | undefined
}

interface RunFile extends RunIdentity, Omit<PlanShape, 'model' | 'shadows'> {
  readonly starts: number
  /** Of its streams, which keep it. Not there: of a directory from before. */
  readonly logBytes?: number | undefined
}

interface NodeFile extends Omit<PlanShape, 'model' | 'shadows'> {
  readonly shadows?: readonly string[]
}

const RUN_FILE = 'run.json'
const NODE_FILE = 'node.json'
/** Of a run that scores: it may go on, and be looked at, where the model's own file is gone. */
const MODEL_FILE = 'model.onnx'
/** The files of shadows, under their SHA-256. */
const SHADOWS = 'shadows'
/** What a start that went no further leaves. */
const LEFT_BY_STARTS = ['state', MODEL_FILE, SHADOWS, `${RUN_FILE}.new`, `${NODE_FILE}.new`]

/** What to say where a field differs. */
const RUN_DIFFERENCES: Readonly<Record<keyof RunIdentity, string>> = {
  release: 'was written by another release of Holdfast',
  fingerprint: 'was made with other partitions or another configuration',
  namespace: 'was made in another namespace',
  inputSha256: 'was made from another input file',
  model: 'was scored by another model, or by none',
  shadows: 'has other shadows',
}
const NODE_DIFFERENCES = {
  namespace: 'belongs to a node of another namespace',
  partitions: 'belongs to a node with another number of partitions',
} as const

export class DataDirectory {
  readonly path: string
  readonly #file: RunFile
  #starts: number

  private constructor(path: string, file: RunFile) {
    this.path = path
    this.#file = file
    this.#starts = file.starts
  }

  /** How often a run has started here, this one included once `started` has been called. */
  get starts(): number {
    return this.#starts
  }

  /** What it keeps, and has kept. */
  get kept(): KeptFeatures {
    const { features, ledger } = this.#file
    return { features, ledger }
  }

  get natsDir(): string {
    return join(this.path, 'nats')
  }

  /** A folder for each task. */
  get stateDir(): string {
    return join(this.path, 'state')
  }

  /** Opens or creates it, to keep these features from now on. Throws USAGE where it is something else's. */
  static open(
    path: string,
    identity: RunIdentity,
    { model, shadows = [], logBytes, ...shape }: Omit<PlanShape, 'ledger'> & { readonly logBytes: number },
  ): Promise<DataDirectory> {
    return usable(path, async () => {
      await mkdir(path, { recursive: true })
      const before = await readOwn<RunFile>(path, RUN_FILE)
      if (before !== null) compare(path, { ...before, ...modelsOf(before) }, identity, RUN_DIFFERENCES)
      const kept = featuresAfter(path, before, shape)
      await mkdir(join(path, 'state'), { recursive: true })
      // A directory that was there has the same one already (RunIdentity).
      if (model !== undefined && before === null) await writeFile(join(path, MODEL_FILE), model.bytes)
      if (before === null) await keepShadows(path, shadows)
      const room = before === null ? { logBytes } : { logBytes: before.logBytes }
      const file = { ...identity, ...shape, ...kept, ...room, starts: before?.starts ?? 0 }
      if (before === null || stringify(file) !== stringify(before)) await writeWhole(path, RUN_FILE, file)
      return new DataDirectory(path, file)
    })
  }

  /** Counts this start, once: called when a state is ours, which it is not while another process has it. */
  async started(): Promise<void> {
    if (this.#starts > this.#file.starts) return
    this.#starts = this.#file.starts + 1
    await usable(this.path, () => writeWhole(this.path, RUN_FILE, { ...this.#file, starts: this.#starts }))
  }
}

/**
 * Opens or creates a node's directory, to keep these features from now on; returns what its plan is made of: also the
 * configuration that it was made with (DD4). Throws USAGE where it is something else's (DD2), and what `check` throws of that.
 */
export function openNodeDirectory<C extends Config>(
  path: string,
  { shadows = [], ...shape }: Omit<PlanShape, 'ledger'> & { config: C },
  check: (own: PlanShape & { config: C }) => unknown,
): Promise<PlanShape & { config: C }> {
  return usable(path, async () => {
    await mkdir(path, { recursive: true })
    const before = await readOwn<NodeFile & { config: C }>(path, NODE_FILE)
    if (before !== null) compare(path, before, shape, NODE_DIFFERENCES)
    const kept = featuresAfter(path, before, shape)
    const whole = { ...shape, config: before?.config ?? shape.config, ...kept }
    check({ ...whole, shadows })
    await mkdir(join(path, 'state'), { recursive: true })
    await keepShadows(path, shadows)
    const file: NodeFile = shadows.length === 0 ? whole : { ...whole, shadows: shadows.map(({ sha256 }) => sha256) }
    if (before === null || stringify(file) !== stringify(before)) await writeWhole(path, NODE_FILE, file)
    await forgetShadows(path, shadows)
    return { ...whole, shadows }
  })
}

/** What score its touches, by their hashes. */
const modelsOf = ({ model = NO_MODEL, shadows = [] }: Partial<RunIdentity>) => ({ model, shadows })

/** Before anything names them. */
async function keepShadows(path: string, shadows: readonly ModelFile[]): Promise<void> {
  if (shadows.length === 0) return
  await mkdir(join(path, SHADOWS), { recursive: true })
  for (const { sha256, bytes } of shadows) await replace(join(path, SHADOWS), sha256, bytes)
}

/** All but these, once nothing names them any more. */
async function forgetShadows(path: string, shadows: readonly ModelFile[]): Promise<void> {
  const names = await readdir(join(path, SHADOWS)).catch(() => [])
  const isKept = (name: string): boolean => shadows.some(({ sha256 }) => sha256 === name)
  for (const name of names) if (!isKept(name)) await rm(join(path, SHADOWS, name))
}

/** Bytes of log that the run of a directory has; null: there is none, or none that says. */
export async function keptLogBytes(path: string): Promise<number | null> {
  const file = await readJson<RunFile>(join(path, RUN_FILE)).catch(() => null)
  return file?.logBytes ?? null
}

/** What a directory was made with. Throws USAGE where it is no directory of Holdfast. */
export function readShape(path: string): Promise<PlanShape & Pick<RunFile, 'logBytes'> & { readonly live: boolean }> {
  return usable(path, async () => {
    const names = await readdir(path)
    for (const name of [RUN_FILE, NODE_FILE]) {
      if (!names.includes(name)) continue
      const file = await readJson<RunFile>(join(path, name))
      const { model: sha256, shadows: hashes } = modelsOf(file)
      const model = sha256 === NO_MODEL ? undefined : { bytes: await readFile(join(path, MODEL_FILE)), sha256 }
      const shadows: ModelFile[] = []
      for (const hash of hashes) shadows.push({ bytes: await readFile(join(path, SHADOWS, hash)), sha256: hash })
      return { ...file, model, shadows, live: name === NODE_FILE }
    }
    throw new HoldfastError('USAGE', `${path} holds no run or node of Holdfast`)
  })
}

/** The file that says what a directory is; null where it is empty. */
async function readOwn<T>(path: string, name: typeof RUN_FILE | typeof NODE_FILE): Promise<T | null> {
  const names = await readdir(path)
  if (names.includes(name)) return readJson<T>(join(path, name))
  const strange = names.find((other) => !LEFT_BY_STARTS.includes(other))
  if (strange === undefined) return null
  const what = name === RUN_FILE ? 'run' : 'node'
  throw new HoldfastError(
    'USAGE',
    `${path} is not empty and holds no ${what} of Holdfast (${strange}); use another --data-dir`,
  )
}

async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, 'utf8')) as T
}

const writeWhole = (path: string, name: string, value: unknown): Promise<void> =>
  replace(path, name, JSON.stringify(value))

async function replace(path: string, name: string, data: string | Uint8Array): Promise<void> {
  await writeFile(join(path, `${name}.new`), data)
  await rename(join(path, `${name}.new`), join(path, name))
}

async function usable<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    throw new HoldfastError('USAGE', `cannot use ${path}: ${error instanceof Error ? error.message : error}`)
  }
}

function compare<T>(path: string, before: T, now: T, differences: Readonly<Partial<Record<keyof T, string>>>): void {
  for (const [field, what] of Object.entries(differences) as [keyof T, string][]) {
    if (stringify(before[field]) !== stringify(now[field]))
      throw new HoldfastError('USAGE', `${path} ${what}; use another --data-dir`)
  }
}

/** SHA-256 (hex) of a file. Throws USAGE where it cannot be read. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash)
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot read ${path}: ${error instanceof Error ? error.message : error}`)
  }
  return hash.digest('hex')
}
