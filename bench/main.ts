// npm run bench -- --json FILE: what Holdfast does in a second, how fast a node is back and what memory it takes, on this
// machine. Figures, not tests: nothing fails for being slow; what fails is a run whose outputs differ (TH1 in throughput.ts).
// Exit 0: measured. 1: something failed. 2: wrong arguments. 130: interrupted.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { wholeNumber } from '../cli/settings.ts'
import { machine } from './machine.ts'
import { machineText, throughputText } from './report.ts'
import { throughputCells } from './throughput-cells.ts'

const program = new Command('npm run bench --')
  .option('--json <file>', 'write machine, versions and every sample there')
  .option('--events <n>', 'events in frames', wholeNumber('--events', 1_000, 1e9))
  .option('--cell <names...>', 'only these')
  .option('--profile <dir>', 'keep a CPU profile of one run of the graph per input there')
  .parse()
const o = program.opts()
void CommanderError
const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
const abort = new AbortController()
process.on('SIGINT', () => abort.abort()).on('SIGTERM', () => abort.abort())
try {
  const on = await machine()
  console.log(machineText(on))
  const say = (line: string) => console.error(line)
  const cells = await throughputCells({
    cells: o.cell ?? null,
    framedEvents: o.events ?? 1_000_000,
    singleEvents: Math.floor((o.events ?? 1_000_000) * 0.4),
    samples: 3,
    directory,
    profile: o.profile ?? null,
    signal: abort.signal,
    say,
  })
  console.log(throughputText(cells))
  if (o.json !== undefined) writeFileSync(o.json, JSON.stringify({ machine: on, throughput: cells }, null, 2))
} finally {
  rmSync(directory, { recursive: true, force: true })
}
