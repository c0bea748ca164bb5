// The log of the HTTP server: JSON lines that hold no secret (LG1: no token, no Authorization or Cookie header, wherever in a
// line they stand) and no key of anybody's features: of a URL only the path up to its first variable part is kept.

import { type DestinationStream, type Logger, pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LoggerOptions {
  /** null: no log at all. */
  readonly to: DestinationStream | null
  readonly level: LogLevel
}

const SECRETS = ['authorization', 'cookie', 'token', 'access_token', 'sha256']
/** Path segments of a URL that name what is ours: `/v1/features`; what follows may be somebody's id. */
const SEGMENTS_KEPT = 2
const SEEN = '[hidden]'

export function httpLogger({ to, level }: LoggerOptions): Logger {
  if (to === null) return pino({ enabled: false })
  return pino(
    {
      level,
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]), censor: SEEN },
      serializers: {
        req: ({ id, method, url }: { id: string; method: string; url: string }) => ({ id, method, url: pathOf(url) }),
        url: pathOf,
        err: (error: Error) => ({
          name: error.name,
          message: hideSecrets(error.message),
          stack: hideSecrets(error.stack ?? ''),
        }),
      },
    },
    to,
  )
}

/** The beginning of a URL that cannot be somebody's id or token. */
function pathOf(url: string): string {
  const segments = url.replace(/[?#].*$/s, '').split('/')
  const kept = segments.slice(0, SEGMENTS_KEPT + 1).join('/')
  return segments.length > SEGMENTS_KEPT + 1 ? `${kept}/...` : kept
}

/** A text without what looks like a token in it. */
export function hideSecrets(text: string): string {
  return text
    .replaceAll(/\b(Bearer|Basic)\s+[\w~+/.=-]+/gi, `$1 ${SEEN}`)
    .replaceAll(/\b((?:access_)?token=)[^&\s"']+/gi, `$1${SEEN}`)
    .replaceAll(/\bhf_[\w-]+/g, SEEN)
}
