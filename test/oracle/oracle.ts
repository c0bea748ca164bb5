// The independent oracle: recomputes from the raw lines of an input file what `holdfast run --out DIR` must have
// written, and compares it with DIR line by line. It imports nothing of the project (independence.test.ts checks).
//
//     node test/oracle/oracle.ts --input FILE[.gz] --out DIR [--anonymous accept] [--bots mark] [--lateness-ms N] [--forget]
//                                [--attribution default|off|CONFIG]
//
// Prints `oracle: 0 differences` and exits 0, or the first 20 differences and exits 1; bad arguments exit 2.
//
// How contract.md (C) and protocol.md (P) are read here, beyond what the files of this folder say in their headers:
//  1. C1  A CR is dropped only before an LF. The limit of 65,536 bytes and `raw` are of the line without line end.
//  2. C1  Nesting counts objects and arrays, the event itself is level 1; where a name is repeated the last value counts.
//  3. C1  The bounds of event_time and value belong to the range. `value` and `refund_of` are checked in every type.
//  4. C1  An unknown type needs the four common fields first: EVENT_FIELD_MISSING comes before EVENT_FIELD_INVALID.
//  5. C1  `consent` and `erase` in a file are events like others: accepted, subject to duplicates, without effect yet.
//  6. C1  `anonymous: accept`: a conversion with a click_id is not anonymous, it is `click:<click_id>`'s. Anonymous is
//         what came without user_id; a client's own user_id that begins with `anon:` is a user like others.
//  7. C1  A refund is known by the value as sent, before it is rounded to micro-units.
//  8. P8  W of a line is the highest event_time of the valid lines before it, less lateness, less 1; valid is what is no
//         dead letter, so duplicates count. Before the first valid line there is no W, and nothing is late.
//  9. C7  `late` counts late lines that are no dead letters, whether accepted or duplicate.
// 10. C2  7 days are between event times, in both directions, inclusive.
// 11. C2  An order's first conversion is the one accepted before in the order of P8, event times at most 90 days apart;
//         so a late second one is a duplicate although its event_time is the lower. Refunds neither are such
//         duplicates nor make others so.
// 12. P11 says that entries expire, C2 does not: a twin that comes late by more than the horizon is a duplicate here,
//         and none with --forget (recompute.ts, Settings.forget).
// 13. C2, C4, C5  docs/joiner.md says how they are read. With `--attribution off` users of conversions are their own user_id, else
//         `click:<click_id>`, and neither attributions.ndjson nor labels.ndjson is looked at.
// 14. C1  A program's event says `props.bot: true`. `bots: drop` is no fourth end of an event: like a marked one it is accepted,
//         subject to duplicates and moves W and as_of; files show the same for both.
// 15. C3  as_of is the highest event_time accepted; a duplicate or late line with a higher or lower one changes nothing.
// 16. C4  Of several accepted conversions that are attributed at one time, first is in the order of P8: those that were resolved, at once,
//         then the others by type, event_id and number.
// 17. C5  A refund takes back what its order is credited with when the refund's own time has come. Of an order that is attributed later
//         nothing is taken back. Refunds due at one time go in the order of their ids, also those that were resolved then.
// 18. C1, C4  With `anonymous: accept` an anonymous conversion is accepted, joins nothing, and so has no line that says nobody is credited.
// 19. C4, C7  With declared goals a line says its `goal`, and a row_id is made of the goal too, as the last element. The summary counts windows
//         of all goals together.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { ATTRIBUTION, type Attribution, attributionOf } from './attribution-settings.ts'
import { compare } from './compare.ts'
import type { Anonymous, Bots } from './judge.ts'
import { recompute } from './recompute.ts'
import { DEFAULTS, type Settings } from './records.ts'

export { ATTRIBUTION, type Attribution, attributionOf } from './attribution-settings.ts'
export { compare, writeExpected } from './compare.ts'
export { type Expected, recompute } from './recompute.ts'
export { DEFAULTS, type Settings } from './records.ts'

const DIFFERENCES_SHOWN_MAX = 20
const HELP = `--input FILE[.gz] --out DIR [options]: compares what a run wrote into DIR with a recomputation of FILE.
  --anonymous reject|accept  --bots count|mark|drop  --lateness-ms N  as the run had them
  --forget                   ids are forgotten as protocol.md, section 11, says
  --attribution default|off|CONFIG   a file as \`run --config\` takes it, of which the attribution is read
  --help                     this`

/** The bytes of an input file, unpacked if its name ends in .gz. */
export function readInput(path: string): Buffer {
  const bytes = readFileSync(path)
  return path.endsWith('.gz') ? gunzipSync(bytes) : bytes
}

interface Arguments {
  readonly help: boolean
  readonly input: string
  readonly out: string
  readonly settings: Settings
}

function parseArguments(argv: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      input: { type: 'string' },
      out: { type: 'string' },
      anonymous: { type: 'string', default: DEFAULTS.anonymous },
      bots: { type: 'string', default: DEFAULTS.bots },
      'lateness-ms': { type: 'string', default: String(DEFAULTS.latenessMs) },
      forget: { type: 'boolean', default: DEFAULTS.forget },
      attribution: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return { help: true, input: '', out: '', settings: DEFAULTS }
  if (values.input === undefined || values.out === undefined) throw new Error('--input and --out are needed')
  if (values.anonymous !== 'reject' && values.anonymous !== 'accept') throw new Error('--anonymous is reject or accept')
  if (!['count', 'mark', 'drop'].includes(values.bots)) throw new Error('--bots is count, mark or drop')
  if (!/^\d{1,15}$/.test(values['lateness-ms'])) throw new Error('--lateness-ms is a whole number')
  const anonymous: Anonymous = values.anonymous
  const bots = values.bots as Bots
  const attribution = attributionIn(values.attribution)
  const settings = { anonymous, bots, latenessMs: Number(values['lateness-ms']), forget: values.forget, attribution }
  return { help: false, input: values.input, out: values.out, settings }
}

function attributionIn(given: string | undefined): Attribution | null {
  if (given === undefined) return DEFAULTS.attribution
  if (given === 'off') return null
  if (given === 'default') return ATTRIBUTION
  const { attribution } = JSON.parse(readFileSync(given, 'utf8')) as { attribution?: unknown }
  if (attribution === undefined) return ATTRIBUTION
  return attribution === 'off' ? null : attributionOf(attribution)
}

/** What differs between a file as it must be understood and a directory. */
type Differences = (file: Buffer, settings: Settings, out: string) => string[]

/** An oracle as a program: says what differs. Gives the exit code. */
export function runOracle(program: string, argv: readonly string[], differencesOf: Differences): number {
  let args: Arguments
  let file: Buffer
  try {
    args = parseArguments(argv)
    if (args.help) {
      console.log(`node test/oracle/${program} ${HELP}`)
      return 0
    }
    file = readInput(args.input)
  } catch (error) {
    console.error(`oracle: ${(error as Error).message.split('\n')[0]}`)
    return 2
  }
  const differences = differencesOf(file, args.settings, args.out)
  for (const difference of differences.slice(0, DIFFERENCES_SHOWN_MAX)) console.log(difference)
  console.log(`oracle: ${differences.length} differences`)
  return differences.length === 0 ? 0 : 1
}

if (import.meta.main) {
  process.exitCode = runOracle('oracle.ts', process.argv.slice(2), (file, settings, out) =>
    compare(recompute(file, settings), out),
  )
}
