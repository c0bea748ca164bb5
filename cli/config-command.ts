// `holdfast config check | diff | apply`: the configuration of a namespace, changed while its node runs.
// CC1: nothing is written but by `apply`, and by it one message: compare-and-set on the activation that was newest when it
//      looked (topology/activation-registry.ts).
// CC2: the same configuration again is no new activation.
// CC3: what belongs to the plan is not changed here: of attribution its goals may change, as each event is judged by those of its
//      order time; with other windows, models or times, what is held and said already would mean something else.
// It talks to NATS and not to a node (docs/decisions/0006-configuration-over-nats.md).

import type { Command } from 'commander'
import { HoldfastError } from '../log/errors.ts'
import { LogUnavailable } from '../log/log.ts'
import { connectLog } from '../log/nats-log.ts'
import { ACTIVATIONS_KEPT } from '../topology/activation-registry.ts'
import { type ConfigActivation, ConfigRegistry } from '../topology/config-registry.ts'
import { configHash } from '../topology/configuration.ts'
import { type Config, type NodeConfig, nodeConfigOf, readNodeConfig } from './settings.ts'
import { tableLines } from './text-table.ts'
import { timeMs } from './time-argument.ts'

/** Activations whose time has not come: one of those that are kept is the one that holds. */
export const WAITING_MAX = ACTIVATIONS_KEPT - 1

const DIFFERENT = 1

interface Where {
  readonly nats: string
  readonly namespace: string
}

/** Adds the command. */
export function configCommand(program: Command): void {
  const config = program.command('config').description('The configuration of a namespace, changed while its node runs.')
  config
    .command('check')
    .description('Say whether a file is a configuration of `node`, and its hash. Exit 2 where it is none.')
    .argument('<file>', 'JSON, as for `node --config`')
    .action((file: string) => {
      process.stdout.write(`${file} is a configuration: ${configHash(readNodeConfig(file))}\n`)
    })
  where(config.command('diff'))
    .description('Compare a file with the newest configuration of a namespace. Exit 0: equal, 1: different.')
    .argument('<file>', 'JSON, as for `node --config`')
    .action(async (file: string, choice: Where) => {
      const wanted = readNodeConfig(file)
      await withRegistry(choice, async (registry) => {
        const lines = differences(
          nodeConfigOf((await newestOf(registry, choice)).body, 'the newest configuration'),
          wanted,
        )
        process.stdout.write(lines.length === 0 ? 'equal\n' : `${lines.join('\n')}\n`)
        if (lines.length > 0) process.exitCode = DIFFERENT
      })
    })
  where(config.command('apply'))
    .description('Make a file the configuration of a namespace: a running node follows within seconds.')
    .argument('<file>', 'JSON, as for `node --config`')
    .option(
      '--from <time>',
      'event time from which it holds: milliseconds since 1970, or like 2026-01-31T12:00:00Z',
      (text) => timeMs('--from', text),
    )
    .action(async (file: string, choice: Where & { from?: number }) => {
      const wanted = readNodeConfig(file)
      const said = await withRegistry(choice, (registry) => apply(registry, wanted, choice))
      process.stdout.write(`${said}\n`)
    })
}

const where = (command: Command): Command =>
  command
    .requiredOption('--nats <url>', 'the server of the namespace; a node says at its start where its own is')
    .option('--namespace <name>', 'which', 'holdfast')

async function withRegistry<T>({ nats, namespace }: Where, work: (registry: ConfigRegistry) => Promise<T>): Promise<T> {
  try {
    const log = await connectLog({ servers: nats, name: 'config' })
    try {
      return await work(new ConfigRegistry(log, namespace))
    } finally {
      await log.close()
    }
  } catch (error) {
    if (!(error instanceof LogUnavailable)) throw error
    throw new HoldfastError('USAGE', `cannot use ${nats}: ${error.message}`)
  }
}

async function newestOf(registry: ConfigRegistry, { nats, namespace }: Where): Promise<ConfigActivation> {
  const newest = (await registry.exists()) ? await registry.newest() : null
  if (newest !== null) return newest
  throw new HoldfastError('USAGE', `${nats} knows no configuration of namespace ${namespace}: no node has run in it`)
}

/** What became of it, in one line. Throws where it was not applied. */
export async function apply(
  registry: ConfigRegistry,
  wanted: NodeConfig,
  choice: Where & { readonly from?: number },
): Promise<string> {
  const newest = await newestOf(registry, choice)
  const { from = 0 } = choice
  // One that holds already does not begin again; one that waits may be given another time.
  const isSame = newest.hash === configHash(wanted) && (newest.from === from || newest.from <= Date.now())
  if (isSame) return `no change: this is the newest configuration already. ${describe(newest)}`
  refuseOtherPlan(nodeConfigOf(newest.body, `activation ${newest.activation}`), wanted)
  await refuseTooManyWaiting(registry, from)
  const outcome = await registry.append(wanted, from, newest)
  if (outcome.kind === 'stored') return describe(outcome.activation)
  throw new Error(reasonOf(outcome))
}

/** CC3. */
function refuseOtherPlan(old: NodeConfig, wanted: NodeConfig): void {
  const [before, after] = [planPartOf(old), planPartOf(wanted)]
  const names = new Set([...before.keys(), ...after.keys()])
  const changed = [...names].find((name) => before.get(name) !== after.get(name))
  if (changed === undefined) return
  const why = 'it belongs to the plan of the namespace; of attribution only the goals may change'
  throw new HoldfastError(
    'USAGE',
    `not applied: "${changed}" would change, and ${why}: another plan needs another --namespace`,
  )
}

function planPartOf({ attribution, scoring = 'off' }: Config): Map<string, string> {
  if (attribution === 'off') return fieldsOf({ attribution, scoring })
  const { goals: _, ...plan } = attribution
  return fieldsOf({ attribution: plan, scoring })
}

async function refuseTooManyWaiting(registry: ConfigRegistry, from: number): Promise<void> {
  const now = Date.now()
  const kept = (await registry.all()).slice(-ACTIVATIONS_KEPT)
  if (from <= now || kept.filter((activation) => activation.from > now).length < WAITING_MAX) return
  throw new Error(`${WAITING_MAX} configurations wait for their time already: apply one without --from, or wait`)
}

function describe({ activation, hash, from }: ConfigActivation): string {
  const since = from === 0 ? 'its place in the log' : new Date(from).toISOString()
  return `activation ${activation}: configuration ${hash}, from ${since}`
}

function reasonOf(outcome: Exclude<Awaited<ReturnType<ConfigRegistry['append']>>, { kind: 'stored' }>): string {
  switch (outcome.kind) {
    case 'refused':
      return `not applied: somebody else was first (${outcome.newest === null ? 'and is gone' : describe(outcome.newest)}); look with \`holdfast config diff\` and apply again`
    case 'full':
      return 'not applied: the registry is full; a node that runs takes what waits there'
    case 'unknown':
      return `the server did not say whether it has it (${outcome.cause}): apply again, the same configuration is applied once`
  }
}

/** One line for each field that differs, old and new; empty where the configurations are the same. */
export function differences(old: NodeConfig, wanted: NodeConfig): string[] {
  const [before, after] = [fieldsOf(old), fieldsOf(wanted)]
  const names = [...new Set([...before.keys(), ...after.keys()])].sort()
  const rows = names
    .map((name) => [name, before.get(name) ?? 'not set', after.get(name) ?? 'not set'] as const)
    .filter(([, was, is]) => was !== is)
  return rows.length === 0 ? [] : tableLines(['FIELD', 'OLD', 'NEW'], rows)
}

/** The fields of a configuration as a person names them, with their JSON. */
function fieldsOf(config: object, prefix = ''): Map<string, string> {
  const fields = new Map<string, string>()
  for (const [name, value] of Object.entries(config)) {
    if (typeof value !== 'object' || Array.isArray(value)) fields.set(prefix + name, JSON.stringify(value))
    else for (const [inner, text] of fieldsOf(value, `${prefix}${name}.`)) fields.set(inner, text)
  }
  return fields
}
