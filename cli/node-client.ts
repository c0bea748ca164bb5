// What the commands share that ask a running node: where it is, with which token, and how its refusals are said in one line.
// NCL1: what a person can correct in the command line is USAGE (exit 2); a node that does not answer, or not now, is exit 1.

import { readFileSync, statSync } from 'node:fs'
import type { Command } from 'commander'
import { HoldfastClient } from '../client/holdfast.ts'
import { ApiError, NoAnswer } from '../client/transport.ts'
import { HoldfastError } from '../log/errors.ts'

export const NODE_URL = 'http://127.0.0.1:8080'
const TOKEN_VARIABLE = 'HOLDFAST_TOKEN'
/** What may stand in a header: a token is one word. */
const TOKEN = /^[\x21-\x7e]{1,512}$/
const OTHERS_MAY_READ = 0o077

export interface NodeChoice {
  readonly url: string
  readonly tokenFile?: string
}

/** Adds --url and --token-file. */
export function nodeOptions(command: Command): Command {
  return command
    .option('--url <url>', 'address of the node', NODE_URL)
    .option('--token-file <file>', `file that holds the token, for its owner only (or: ${TOKEN_VARIABLE})`)
}

/** A client for the node that was chosen. Throws USAGE. */
export function clientOf(choice: NodeChoice, env: NodeJS.ProcessEnv): HoldfastClient {
  return new HoldfastClient(addressOf(choice, env))
}

/** Where the node is, and what to show there. Throws USAGE. */
export function addressOf({ url, tokenFile }: NodeChoice, env: NodeJS.ProcessEnv) {
  const token = tokenFile === undefined ? env[TOKEN_VARIABLE] : readToken(tokenFile)
  if (token !== undefined && !TOKEN.test(token)) {
    throw new HoldfastError(
      'USAGE',
      `${tokenFile ?? TOKEN_VARIABLE} does not hold a token: one word of printable characters`,
    )
  }
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new HoldfastError('USAGE', `--url must be an address like ${NODE_URL}`)
  return { url, token }
}

function readToken(path: string): string {
  try {
    if ((statSync(path).mode & OTHERS_MAY_READ) !== 0)
      throw new HoldfastError('USAGE', `${path} can be read by others: chmod 600 ${path}`)
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    throw new HoldfastError('USAGE', `cannot read ${path}: ${(error as Error).message}`)
  }
}

/** NCL1: what to throw for an error of the client. */
export function commandError(error: unknown): unknown {
  if (error instanceof NoAnswer) {
    return new Error(
      `${error.message}; is a node running there? Start one with: holdfast node --data-dir DIR, or give --url`,
    )
  }
  if (!(error instanceof ApiError)) return error
  const { status, code, message, retryAfterS } = error
  if (status === 401 || status === 403)
    return new HoldfastError('USAGE', `${message} (${code}): give a token with --token-file or ${TOKEN_VARIABLE}`)
  const said = `${message} (${code})`
  if (status >= 500 || status === 429) {
    return new Error(retryAfterS === undefined ? said : `${said}; try again in ${retryAfterS} s`)
  }
  return new HoldfastError('USAGE', said)
}
