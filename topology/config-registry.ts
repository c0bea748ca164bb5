// The registry of configurations (topology/activation-registry.ts). Number 1 is what the namespace began with.
// Here stand whole documents, of which tasks get what changes results (topology/configuration.ts).

import type { Log } from '../log/log.ts'
import { type Activation, ActivationRegistry, type RegistryKind } from './activation-registry.ts'
import { type ConfigDocument, configurationOf, isConfiguration } from './configuration.ts'
import { CONFIGURATION } from './control.ts'

/** Bytes of a document: some ten thousand networks, and far below what a message may hold. */
export const CONFIG_BYTES_MAX = 256 * 1024

/** A configuration with its number and its time. */
export type ConfigActivation = Activation<ConfigDocument>

export const CONFIGS: RegistryKind<ConfigDocument> = {
  ...{ kind: CONFIGURATION, name: 'config', bodyBytesMax: CONFIG_BYTES_MAX },
  isBody: (value): value is ConfigDocument => isConfiguration(configurationOf(value as ConfigDocument)),
}

export class ConfigRegistry extends ActivationRegistry<ConfigDocument> {
  constructor(log: Log, namespace: string) {
    super(log, namespace, CONFIGS)
  }
}
