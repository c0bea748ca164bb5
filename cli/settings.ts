// Arguments and the configuration file, checked: an error names the field and says what would be right (exit 2).

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Command } from 'commander'
import stringify from 'fast-json-stable-stringify'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { HoldfastError } from '../log/errors.ts'
import {
  type AttributionDeclaration,
  attributionSettings,
  DECLARATION_DEFAULT,
  readAttribution,
} from '../operators/attribution-declaration.ts'
import type { AttributionSettings } from '../operators/attribution-settings.ts'
import { isTimeZone } from '../sinks/calendar-days.ts'
import { networkList } from '../sinks/http/addresses.ts'
import { allowedOrigins } from '../sinks/http/cors.ts'
import { type PixelSettings, pixelMapping } from '../sinks/http/pixel-event.ts'
import { CONFIG_BYTES_MAX } from '../topology/config-registry.ts'
import { LATENESS_MS_DEFAULT } from '../topology/graph.ts'
import { readScoring, SCORING_DEFAULT, type ScoringSettings } from '../topology/models/scoring-settings.ts'

const graphFields = {
  anonymous: Type.Optional(Type.Union([Type.Literal('reject'), Type.Literal('accept')])),
  bots: Type.Optional(Type.Union([Type.Literal('count'), Type.Literal('mark'), Type.Literal('drop')])),
  latenessMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 366 * 86_400_000 })),
  /** Read by operators/attribution-declaration.ts, which names what is wrong by its path. */
  attribution: Type.Optional(Type.Unknown()),
  /** Read by topology/models/scoring-settings.ts, in the same way. */
  scoring: Type.Optional(Type.Unknown()),
  /** By id: what reports need to know of an advertiser. Changes no result. */
  advertisers: Type.Optional(
    Type.Record(Type.String(), Type.Object({ timeZone: Type.String() }, { additionalProperties: false }), {
      maxProperties: 10_000,
    }),
  ),
}
/** Configuration of the graph: what may change results. `run --config FILE` is JSON of this shape. */
const ConfigSchema = Type.Object(graphFields, { additionalProperties: false })

/** What a node lets in over HTTP, and how it reads pixels; docs/pixels.md. */
const HttpSchema = Type.Object(
  {
    corsOrigins: Type.Optional(Type.Array(Type.String(), { maxItems: 1_000 })),
    trustedProxies: Type.Optional(Type.Array(Type.String(), { maxItems: 1_000 })),
    pixels: Type.Optional(Type.Record(Type.String(), Type.String())),
    keepClientInfo: Type.Optional(Type.Boolean()),
    botNetworks: Type.Optional(Type.Array(Type.String(), { maxItems: 10_000 })),
  },
  { additionalProperties: false },
)
/** What a namespace may ask of its node's front door, all clients together; what is not given is not limited. */
const PerSecond = Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 }))
const QuotasSchema = Type.Object({ eventsPerS: PerSecond, readKeysPerS: PerSecond }, { additionalProperties: false })
/** `node --config FILE`. */
const NodeConfigSchema = Type.Object(
  { ...graphFields, http: Type.Optional(HttpSchema), quotas: Type.Optional(QuotasSchema) },
  { additionalProperties: false },
)
const compiled = { run: Compile(ConfigSchema), node: Compile(NodeConfigSchema) } as const

export type Config = Required<Omit<Static<typeof ConfigSchema>, 'attribution' | 'scoring'>> & {
  readonly attribution: AttributionDeclaration | 'off'
  /** Not given: off. */
  readonly scoring?: ScoringSettings | 'off'
}
export type HttpConfig = Required<Static<typeof HttpSchema>>
/** Of a node: the graph's settings, and its front door's. */
export type NodeConfig = Config & { readonly http: HttpConfig; readonly quotas: Static<typeof QuotasSchema> }

export const CONFIG_DEFAULT: Config = {
  ...{ anonymous: 'reject', bots: 'count', latenessMs: LATENESS_MS_DEFAULT },
  attribution: DECLARATION_DEFAULT,
  advertisers: {},
}
export const HTTP_CONFIG_DEFAULT: HttpConfig = {
  corsOrigins: [],
  trustedProxies: [],
  pixels: {},
  keepClientInfo: false,
  botNetworks: [],
}
export const NODE_CONFIG_DEFAULT: NodeConfig = { ...CONFIG_DEFAULT, http: HTTP_CONFIG_DEFAULT, quotas: {} }

const GIB = 1024 ** 3
/**
 * Room for all streams together, bytes. A server promises no more than three quarters of the disk that is free. A run trims
 * its input as it goes; a node's output streams keep what nobody has taken yet.
 */
export const LOG_BYTES_DEFAULT = { run: 4 * GIB, node: 16 * GIB } as const

/** More than any machine has cores for; the range of `--threads`. */
export const THREADS_MAX = 256
/** As many as run at once; a host never starts more than it has tasks. */
export const THREADS_DEFAULT = Math.min(availableParallelism(), THREADS_MAX)

/** Reads the configuration file of a run; the defaults where there is none. */
export function readConfig(path: string | undefined): Config {
  if (path === undefined) return CONFIG_DEFAULT
  const refuse = refusalIn(path)
  const value = parseJson(path)
  if (!compiled.run.Check(value)) return refuse(complaint('run', value))
  const { attribution, scoring, ...plain } = value
  const config = { ...CONFIG_DEFAULT, ...plain, ...declared({ attribution, scoring }, refuse) }
  checkTimeZones(config, refuse)
  return config
}

/** What a run is given beside its configuration that decides about scores. */
export interface RunScoring {
  /** false: nothing is to be scored by models that learn. */
  readonly scoring?: boolean | undefined
  /** A file scores. */
  readonly model?: string | undefined
}

/**
 * Reads the configuration file of a run, which trains and scores unless something says otherwise: its configuration, an option, or
 * that there are no labels to learn from.
 */
export function readRunConfig(path: string | undefined, { scoring, model }: RunScoring): Config {
  const config = readConfig(path)
  const said = config.scoring
  if (scoring === false && said !== undefined && said !== 'off')
    throw new HoldfastError('USAGE', `--no-scoring, and "scoring" in ${path}: leave one out`)
  if (said !== undefined || scoring === false || model !== undefined || attributionOf(config) === 'off') return config
  return { ...config, scoring: SCORING_DEFAULT }
}

/** Reads the configuration file of a node; the defaults where there is none. */
export function readNodeConfig(path: string | undefined): NodeConfig {
  return path === undefined ? NODE_CONFIG_DEFAULT : nodeConfigOf(parseJson(path), path)
}

/** A node's configuration, whole. `where` it is from. Throws USAGE, naming the field. */
export function nodeConfigOf(value: unknown, where: string): NodeConfig {
  const refuse = refusalIn(where)
  if (!compiled.node.Check(value)) return refuse(complaint('node', value))
  const { http, quotas, attribution, scoring, ...plain } = value
  const graph = { ...CONFIG_DEFAULT, ...plain, ...declared({ attribution, scoring }, refuse) }
  const whole = { ...graph, http: { ...HTTP_CONFIG_DEFAULT, ...http }, quotas: quotas ?? {} }
  checked(
    (what) => refuse(`"http": ${what}`),
    () => {
      pixelMapping(pixelSettings(whole.http))
      allowedOrigins(whole.http.corsOrigins)
      networkList(whole.http.trustedProxies)
    },
  )
  checkTimeZones(whole, refuse)
  const bytes = Buffer.byteLength(stringify(whole))
  if (bytes > CONFIG_BYTES_MAX) refuse(`the configuration has ${bytes} bytes; at most ${CONFIG_BYTES_MAX}`)
  return whole
}

function checkTimeZones({ advertisers }: Pick<Config, 'advertisers'>, refuse: Refuse): void {
  for (const [id, { timeZone }] of Object.entries(advertisers))
    if (!isTimeZone(timeZone))
      refuse(`advertisers.${id}.timeZone must be a name of the IANA database, such as "Europe/Berlin"`)
}

/** That of an advertiser's days in reports: UTC where none is configured. */
export function timeZoneOf({ advertisers = {} }: Partial<Pick<Config, 'advertisers'>>, advertiser: string): string {
  return Object.hasOwn(advertisers, advertiser) ? advertisers[advertiser]!.timeZone : 'UTC'
}

type Refuse = (what: string) => never

const refusalIn =
  (where: string): Refuse =>
  (what) => {
    throw new HoldfastError('USAGE', `${where}: ${what}`)
  }

/** What is read, or the refusal of what a reader finds out of its range. */
function checked<T>(refuse: Refuse, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return refuse(error.message)
  }
}

/** The fields that have readers of their own. */
function declared(
  { attribution, scoring }: { readonly attribution?: unknown; readonly scoring?: unknown },
  refuse: Refuse,
): Pick<Config, 'attribution' | 'scoring'> {
  const read = { attribution: checked(refuse, () => readAttribution(attribution)) }
  return scoring === undefined ? read : { ...read, scoring: checked(refuse, () => readScoring(scoring)) }
}

/** What the graph needs of it. The directory of a node that was made without attribution goes on without. */
export function attributionOf({ attribution = 'off' }: Partial<Config>): AttributionSettings | 'off' {
  return attribution === 'off' ? 'off' : attributionSettings(attribution)
}

/** How touches are scored by models that learn. Where goals are declared and none is named, the first is meant. */
export function scoringOf({ scoring = 'off', attribution = 'off' }: Partial<Config>): ScoringSettings | 'off' {
  const [first] = attribution === 'off' ? [] : attribution.goals
  return scoring === 'off' || scoring.goal !== '' || first === undefined ? scoring : { ...scoring, goal: first.name }
}

/** What the routes of pixels need of it. */
export function pixelSettings({ pixels: advertisers, keepClientInfo, botNetworks }: HttpConfig): PixelSettings {
  return { advertisers, keepClientInfo, botNetworks }
}

/** What each field may be, in words: what the schema's own messages leave out. */
const GRAPH_FIELDS: Readonly<Record<keyof Config, string>> = {
  anonymous: '"reject" or "accept"',
  bots: '"count", "mark" or "drop"',
  latenessMs: 'a whole number of milliseconds from 0 to 31622400000',
  attribution: '"off" or an object (docs/attribution.md)',
  scoring: '"off" or an object (docs/models.md)',
  advertisers: 'an object like {"shop": {"timeZone": "Europe/Berlin"}}, of 10000 at most',
}
const FIELDS: Readonly<Record<keyof typeof compiled, Readonly<Record<string, string>>>> = {
  run: GRAPH_FIELDS,
  node: {
    ...GRAPH_FIELDS,
    http: 'an object with corsOrigins ["https://shop.example"], trustedProxies ["10.0.0.0/8"], pixels {"pixel": "advertiser"}, keepClientInfo true or false, botNetworks ["192.0.2.0/24"]',
    quotas: 'an object with eventsPerS and readKeysPerS, whole numbers from 1',
  },
}

function complaint(kind: keyof typeof compiled, value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'the configuration is not a JSON object'
  const [first] = compiled[kind].Errors(value)
  const field = first?.instancePath.slice(1).split('/')[0] ?? ''
  const fields = FIELDS[kind]
  const words = Object.hasOwn(fields, field) ? fields[field] : undefined
  return words === undefined
    ? `unknown field "${field}"; there are ${Object.keys(fields).join(', ')}`
    : `"${field}" must be ${words}`
}

/** The JSON in a file. Throws USAGE where it cannot be read or is none. */
export function parseJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot read ${path}: ${error instanceof Error ? error.message : error}`)
  }
}

/** Throws USAGE where one of these options, by their names in `opts()`, was given: with another it would have no effect. */
export function refuseGiven(command: Command, names: readonly string[], other: string): void {
  const given = command.options.find(
    (option) =>
      names.includes(option.attributeName()) && command.getOptionValueSource(option.attributeName()) === 'cli',
  )
  if (given !== undefined) throw new HoldfastError('USAGE', `${given.long} has no effect with ${other}: leave one out`)
}
