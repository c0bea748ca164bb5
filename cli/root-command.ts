// `holdfast` itself, before any command is added to it.

import { Command } from 'commander'
import { RELEASE } from '../topology/plan.ts'

export function rootCommand(): Command {
  return new Command('holdfast')
    .description('Exactly-once stream processor for ads conversion data, on NATS JetStream and RocksDB.')
    .version(RELEASE)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showHelpAfterError(false)
}
