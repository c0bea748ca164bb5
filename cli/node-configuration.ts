// The configuration of a running node: what the registry of its namespace says, from the first node's start on.
// NG1: the registry wins: a file that says otherwise is named in one line, and changed by `holdfast config apply`.
// NG2: the front door is under what holds now by the node's clock, and follows within two looks; tasks go by the log
//      (topology/config-keeper.ts). What this release cannot read changes nothing here, and that is said, once.

import type { Log } from '../log/log.ts'
import { LogUnavailable } from '../log/log.ts'
import type { PixelSettings } from '../sinks/http/pixel-event.ts'
import type { ConfigKeeper } from '../topology/config-keeper.ts'
import { ConfigRegistry } from '../topology/config-registry.ts'
import { configHash } from '../topology/configuration.ts'
import { NodeLooks } from './node-looks.ts'
import { type NodeConfig, nodeConfigOf, pixelSettings } from './settings.ts'

/** Puts what a namespace begins with into its registry, where there is nothing yet. Throws LogUnavailable. */
export async function beginRegistry(log: Log, namespace: string, initial: NodeConfig): Promise<void> {
  const registry = new ConfigRegistry(log, namespace)
  if ((await registry.newest()) !== null) return
  const { kind } = await registry.append(initial, 0, null)
  // Refused: another node was first.
  if (kind === 'full' || kind === 'unknown') throw new LogUnavailable(`the registry of ${namespace} is ${kind}`)
}

export class NodeConfiguration {
  readonly #keeper: ConfigKeeper
  readonly #say: (line: string) => void
  #document: unknown
  #current: NodeConfig
  #pixels: PixelSettings
  #complaint = ''
  readonly #looks = new NodeLooks(() => this.#look())

  /** `initial`: what the node's directory was made with. */
  constructor(keeper: ConfigKeeper, initial: NodeConfig, say: (line: string) => void) {
    this.#keeper = keeper
    this.#say = say
    this.#document = initial
    this.#current = initial
    this.#pixels = pixelSettings(initial.http)
  }

  /** What holds now. The same object as long as nothing has changed, as is `pixels`. */
  get current(): NodeConfig {
    return this.#current
  }

  get pixels(): PixelSettings {
    return this.#pixels
  }

  /** Before the door opens: reads the registry, and says where the file that the node was given is not what holds (NG1). */
  async open(file: string | undefined, given: NodeConfig): Promise<void> {
    await this.#keeper.read()
    this.#follow()
    const { newest } = this.#keeper
    if (file === undefined || newest === null || newest.hash === configHash(given)) return
    const holds = `configuration ${newest.hash} of the namespace (activation ${newest.activation}) holds`
    this.#say(`${holds}, and not ${file} (${configHash(given)}): \`holdfast config apply ${file}\` changes it`)
  }

  /** One look at the registry. Never throws for what the world can do. */
  look(): Promise<void> {
    return this.#looks.look()
  }

  /** Looks when there are news, too; returns what ends that. */
  follow(): () => void {
    return this.#keeper.onNews(this.#looks.news)
  }

  async #look(): Promise<void> {
    try {
      await this.#keeper.look()
    } catch (error) {
      // Who is away is asked again at the next look; tasks and the door say that they wait.
      if (!(error instanceof LogUnavailable)) this.#complain(error)
    }
    this.#follow()
  }

  #follow(): void {
    const document = this.#keeper.documentAt(Date.now())
    if (document === null || document === this.#document) return
    this.#document = document
    const hash = configHash(document)
    if (hash === configHash(this.#current)) return
    try {
      const config = nodeConfigOf(document, `configuration ${hash}`)
      this.#pixels = pixelSettings(config.http)
      this.#current = config
      this.#say(`the front door is under configuration ${hash} now`)
    } catch (error) {
      this.#complain(error)
    }
  }

  #complain(error: unknown): void {
    const complaint = error instanceof Error ? error.message.replace(/^USAGE: /, '') : String(error)
    if (complaint !== this.#complaint) this.#say(`${complaint}; the configuration before it holds on`)
    this.#complaint = complaint
  }
}
