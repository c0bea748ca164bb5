// `holdfast token`: makes a token for the front door, adds its line to the token file, and shows it, once.
// TK1: a file that would be none with the line stays as it was: a node reads all of its tokens from there.

import { appendFileSync, chmodSync, existsSync, readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { HoldfastError } from '../log/errors.ts'
import { SCOPES, type Scope } from '../sinks/http/app.ts'
import { newToken, Tokens } from '../sinks/http/auth.ts'
import { isNamespace } from '../topology/dsl.ts'

/** Readable and writable by its owner, and by nobody else: others are refused when it is read. */
const OWNER_ONLY = 0o600

/** Adds the command. */
export function tokenCommand(program: Command): void {
  program
    .command('token')
    .description('Make a token for the HTTP door: its SHA-256 goes into the token file, the token is shown once.')
    .requiredOption('--token-file <file>', 'the file of `node --token-file`; made where it is not there')
    .requiredOption('--scopes <scopes>', `what it may do: ${SCOPES.join(', ')} (separated by commas)`, scopesIn)
    .option('--namespace <name>', 'the only node it is for', 'holdfast')
    .action(({ tokenFile, scopes, namespace }: { tokenFile: string; scopes: Scope[]; namespace: string }) => {
      if (!isNamespace(namespace))
        throw new HoldfastError('USAGE', `--namespace: "${namespace}" is not 1-32 of [a-z0-9-]`)
      const { token, line } = newToken(scopes, namespace)
      try {
        appendFileSync(tokenFile, `${lineEndMissing(tokenFile, line)}${line}\n`, { mode: OWNER_ONLY })
        chmodSync(tokenFile, OWNER_ONLY)
      } catch (error) {
        if (error instanceof HoldfastError) throw error
        throw new HoldfastError('USAGE', `cannot write ${tokenFile}: ${(error as Error).message}`)
      }
      process.stdout.write(`${token}\n`)
    })
}

/** The line end that a token file lacks before another line. Throws USAGE where it can take none (TK1). */
function lineEndMissing(path: string, line: string): string {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const end = text === '' || text.endsWith('\n') ? '' : '\n'
  try {
    Tokens.parse(`${text}${end}${line}`)
  } catch (error) {
    const why = (error as Error).message.replace(/^USAGE: /, '')
    throw new HoldfastError('USAGE', `${path} cannot take another line (${why}): use another --token-file`)
  }
  return end
}

function scopesIn(text: string): Scope[] {
  const scopes = text.split(',')
  const unknown = scopes.find((scope) => !(SCOPES as readonly string[]).includes(scope))
  if (unknown === undefined) return scopes as Scope[]
  throw new HoldfastError('USAGE', `--scopes: "${unknown}" is none of ${SCOPES.join(', ')}`)
}
