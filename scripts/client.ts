// Writes client/holdfast.ts from the OpenAPI document of the routes: `node scripts/client.ts`. client/holdfast.test.ts compares.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify from 'fastify'
import { Admission } from '../sinks/http/admission.ts'
import type { App, Routes } from '../sinks/http/app.ts'
import { evaluationRoutes } from '../sinks/http/evaluation-routes.ts'
import { HTTP_LIMITS } from '../sinks/http/limits.ts'
import { purchaseRoutes } from '../sinks/http/purchase-routes.ts'
import { KEY_SEGMENT_CHARS, readRoutes } from '../sinks/http/read-routes.ts'
import { statusRoutes } from '../sinks/http/status-routes.ts'

const CLIENT = fileURLToPath(new URL('../client/holdfast.ts', import.meta.url))
const BIOME = fileURLToPath(new URL('../node_modules/.bin/biome', import.meta.url))

const HEADER = `// The typed client of the HTTP API: one method per operation, one interface per answer.
// Written by \`node scripts/client.ts\` from the OpenAPI document of the routes in sinks/http/. How it asks: client/transport.ts.

import { type ClientOptions, segment, Transport } from './transport.ts'
`

/** What of a JSON schema the API uses. */
interface Schema {
  readonly type?: string | readonly string[]
  readonly enum?: readonly (string | null)[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly additionalProperties?: boolean | Schema
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly description?: string
}

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly schema: Schema
  readonly description?: string
}

interface Content {
  readonly content?: { readonly 'application/json'?: { readonly schema: Schema } }
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: Content
  readonly responses: Readonly<Record<string, Content>>
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** The document of some routes, without a server that listens. */
export async function documentOf(...routes: readonly Routes[]): Promise<OpenApi> {
  const app: App = fastify({
    routerOptions: { maxParamLength: KEY_SEGMENT_CHARS },
  }).withTypeProvider<TypeBoxTypeProvider>()
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'Holdfast', version: '1' } } })
  const nobody = new Admission(null, '', HTTP_LIMITS)
  for (const route of routes) await app.register(async (scope) => route(scope as App, nobody))
  await app.ready()
  const document = app.swagger() as unknown as OpenApi
  await app.close()
  return document
}

/** The routes that a client of values and of status needs. */
export function clientRoutes(): Routes[] {
  const unused = (): never => {
    throw new Error('nobody asks: only the document is wanted')
  }
  const reads = {
    features: [],
    read: unused,
    explain: unused,
    vectors: unused,
    top: unused,
    attribution: unused,
    purchases: unused,
    evaluation: unused,
    pin: unused,
    unpin: unused,
  }
  return [
    (app) => readRoutes(app, { reads }),
    (app) => purchaseRoutes(app, { reads, timeZoneOf: unused }),
    (app) => evaluationRoutes(app, { reads }),
    (app) => statusRoutes(app, { status: unused, attribution: unused, model: unused, evaluated: null }),
  ]
}

/** The client's source, from a document. */
export function clientSource({ paths }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const types = operations.flatMap(({ operation }) => typesOf(operation))
  const methods = operations.map(({ path, method, operation }) => methodOf(path, method, operation))
  return formatted(`${HEADER}\n${types.join('\n')}\n${clientClass(methods)}`)
}

function clientClass(methods: readonly string[]): string {
  return `export class HoldfastClient {
    readonly #transport: Transport

    /** Throws TypeError where the URL is none. */
    constructor(options: ClientOptions) {
      this.#transport = new Transport(options)
    }

    ${methods.join('\n\n')}
  }`
}

const inCapitals = (name: string): string => `${name[0]!.toUpperCase()}${name.slice(1)}`

function typesOf({ operationId, parameters = [], requestBody, responses }: Operation): string[] {
  const name = inCapitals(operationId)
  const query = parameters.filter((parameter) => parameter.in === 'query')
  const body = schemaIn(requestBody)
  const answer = schemaIn(successOf(responses))
  return [
    ...(query.length === 0 ? [] : [declaration(`${name}Query`, objectOf(query.map(memberOfParameter)))]),
    ...(body === undefined ? [] : [declaration(`${name}Body`, typeOf(body))]),
    ...(answer === undefined ? [] : [declaration(`${name}Answer`, typeOf(answer))]),
  ]
}

function declaration(name: string, type: string): string {
  return type.startsWith('{') ? `export interface ${name} ${type}\n` : `export type ${name} = ${type}\n`
}

function methodOf(path: string, method: string, operation: Operation): string {
  const { operationId, summary, parameters = [], requestBody, responses } = operation
  const name = inCapitals(operationId)
  const inPath = parameters.filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name)
  const query = parameters.filter((parameter) => parameter.in === 'query')
  const hasQuery = query.length > 0
  const isQueryNeeded = query.some(({ required }) => required)
  const hasBody = schemaIn(requestBody) !== undefined
  const result = schemaIn(successOf(responses)) === undefined ? 'void' : `${name}Answer`
  const takes = [
    ...inPath.map((parameter) => `${parameter}: string`),
    ...(hasQuery ? [`query: ${name}Query${isQueryNeeded ? '' : ' = {}'}`] : []),
    ...(hasBody ? [`body: ${name}Body`] : []),
  ]
  const filled = path.replace(/\{(\w+)\}/g, (_, parameter: string) => `\${segment(${parameter})}`)
  const spelt = inPath.length === 0 ? `'${path}'` : `\`${filled}\``
  const ask = [
    `method: '${method.toUpperCase()}'`,
    `path: ${spelt}`,
    ...(hasQuery ? ['query'] : []),
    ...(hasBody ? ['body'] : []),
  ]
  return `/** ${summary}. Throws ApiError, NoAnswer. */
    async ${operationId}(${takes.join(', ')}): Promise<${result}> {
      ${result === 'void' ? '' : 'return '}(await this.#transport.ask({ ${ask.join(', ')} }))${result === 'void' ? '' : ` as ${result}`}
    }`
}

function successOf(responses: Operation['responses']): Content | undefined {
  return Object.entries(responses).find(([status]) => status.startsWith('2'))?.[1]
}

function schemaIn(content: Content | undefined): Schema | undefined {
  const schema = content?.content?.['application/json']?.schema
  return schema?.type === 'null' ? undefined : schema
}

function memberOfParameter({ name, required = false, schema, description }: Parameter): string {
  return member(name, { ...schema, ...(description === undefined ? {} : { description }) }, required)
}

function member(name: string, schema: Schema, required: boolean): string {
  const comment = schema.description === undefined ? '' : `/** ${schema.description} */\n`
  return `${comment}readonly ${name}${required ? '' : '?'}: ${typeOf(schema)}${required ? '' : ' | undefined'}`
}

const objectOf = (members: readonly string[]): string => `{\n${members.join('\n')}\n}`

const SCALARS: Readonly<Record<string, string>> = {
  ...{ string: 'string', integer: 'number', number: 'number', boolean: 'boolean', null: 'null' },
}

/** TypeScript for a schema; throws for what the API does not use. */
function typeOf(schema: Schema): string {
  const { type, items, properties, required = [] } = schema
  if (Array.isArray(type)) return type.map((one) => typeOf({ ...schema, type: one })).join(' | ')
  if (type === 'null') return 'null'
  if (schema.enum !== undefined)
    return schema.enum
      .filter((value) => value !== null)
      .map((value) => `'${value}'`)
      .join(' | ')
  if (type === 'array' && items !== undefined) return `readonly (${typeOf(items)})[]`
  if (type === 'object' && schema.additionalProperties === true) return 'Readonly<Record<string, unknown>>'
  if (type === 'object' && properties !== undefined)
    return objectOf(Object.entries(properties).map(([name, of]) => member(name, of, required.includes(name))))
  const values = Object.values(schema.patternProperties ?? {})[0] ?? schema.additionalProperties
  if (type === 'object' && typeof values === 'object') return `Readonly<Record<string, ${typeOf(values)}>>`
  const scalar = SCALARS[String(type)]
  if (scalar === undefined) throw new Error(`no TypeScript for ${JSON.stringify(schema)}`)
  return scalar
}

/** As the project formats everything. */
function formatted(source: string): string {
  const { status, stdout, stderr } = spawnSync(BIOME, ['format', `--stdin-file-path=${CLIENT}`], {
    input: source,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the client cannot be formatted: ${stderr}`)
  return stdout
}

if (import.meta.main) writeFileSync(CLIENT, clientSource(await documentOf(...clientRoutes())))
