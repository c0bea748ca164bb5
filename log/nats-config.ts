// The configuration file of an embedded nats-server, as text. Every value that decides about safety is written out, never
// left to a default of the server.

export interface ClusterConfig {
  readonly name: string
  readonly port: number
  /** `nats-route://127.0.0.1:port` of every member. */
  readonly routes: readonly string[]
}

export interface NatsConfig {
  readonly serverName: string
  readonly port: number
  readonly storeDir: string
  readonly logFile: string
  readonly pidFile: string
  /** fsync before the acknowledgement; without it a power cut loses up to two minutes of acknowledged messages. */
  readonly syncAlways: boolean
  /** Bytes that all streams together may use; null: three quarters of the free disk, the server's own choice. */
  readonly maxStoreBytes: number | null
  /** Subject mappings of the server, such as `in.*` to `in.{{partition(4,1)}}.{{wildcard(1)}}`. */
  readonly mappings: Readonly<Record<string, string>>
  readonly cluster: ClusterConfig | null
}

export const LOOPBACK = '127.0.0.1'
/** The server's default, written out because a frame (log/frame.ts) is made to fit in it. */
const MAX_PAYLOAD_BYTES = 1024 * 1024
/** The log is for a person who looks for a cause; three files of this size are kept. */
const LOG_FILE_BYTES = 8 * 1024 * 1024

/** One setting a line: `{ store_dir: "x" sync_interval: always }` on one line is a parse error of the server. */
export function natsConfigText(config: NatsConfig): string {
  const { cluster } = config
  const lines = [
    `server_name: ${quoted(config.serverName)}`,
    `host: ${quoted(LOOPBACK)}`,
    `port: ${config.port}`,
    `max_payload: ${MAX_PAYLOAD_BYTES}`,
    `pid_file: ${quoted(config.pidFile)}`,
    `log_file: ${quoted(config.logFile)}`,
    `logfile_size_limit: ${LOG_FILE_BYTES}`,
    'logfile_max_num: 3',
    'jetstream {',
    `  store_dir: ${quoted(config.storeDir)}`,
    config.syncAlways ? '  sync_interval: always' : '  sync_interval: "2m"',
    ...(config.maxStoreBytes === null ? [] : [`  max_file_store: ${config.maxStoreBytes}`]),
    '}',
    'mappings {',
    ...Object.entries(config.mappings).map(([from, to]) => `  ${quoted(from)}: ${quoted(to)}`),
    '}',
  ]
  if (cluster === null) return `${lines.join('\n')}\n`
  const routes = cluster.routes.map((route) => `    ${quoted(route)}`)
  lines.push('cluster {', `  name: ${quoted(cluster.name)}`, `  host: ${quoted(LOOPBACK)}`, `  port: ${cluster.port}`)
  lines.push('  routes: [', ...routes, '  ]', '}')
  return `${lines.join('\n')}\n`
}

/** The escapes of JSON are those of the server's strings. */
function quoted(text: string): string {
  return JSON.stringify(text)
}
