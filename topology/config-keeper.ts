// Brings configurations to every task of the plan (topology/activation-keeper.ts), and says which one the front door is under.

import { ActivationKeeper, type KeeperOptions } from './activation-keeper.ts'
import { type ConfigActivation, ConfigRegistry } from './config-registry.ts'
import { type ConfigDocument, configurationOf } from './configuration.ts'
import { CONFIGURATION, type Config, controlAt } from './control.ts'

/** The activation that a namespace begins with. */
const FIRST = 1

export class ConfigKeeper extends ActivationKeeper<ConfigDocument> {
  constructor(options: KeeperOptions) {
    const { plan, log } = options
    // What the plan was made with needs no record.
    const isOwn = ({ activation, hash }: ConfigActivation) => activation === FIRST && hash === plan.configHash
    super(options, {
      registry: new ConfigRegistry(log, plan.namespace),
      stages: plan.stages,
      readBy: ({ activation }) => activation,
      record: (one) => (isOwn(one) ? null : recordOf(one)),
    })
  }

  /** The document that holds at a time, milliseconds; null: none is known. */
  documentAt(time: number): ConfigDocument | null {
    return (controlAt(this.known, CONFIGURATION, time) as ConfigDocument | undefined) ?? null
  }
}

function recordOf({ activation, from, body }: ConfigActivation): string {
  const record: Config = { hf: 'config', kind: CONFIGURATION, activation, from, body: configurationOf(body) }
  return JSON.stringify(record)
}
