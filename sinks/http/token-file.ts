// The tokens in a file that changes while the door is open: who was taken out of it is refused from the next look on.
// TF1: tokens change as a whole. A file that cannot be used keeps the ones that were read last, and that is said, once.
// TF2: the text is compared, not its time: a change within one tick of the clock is seen as well.
// What may stand in the file is in auth.ts.

import { type Holder, readTokenFile, type TokenHolders, Tokens } from './auth.ts'

/** Milliseconds between looks: a token that is taken back is refused within two seconds, also where a look comes late. */
const LOOK_MS = 500

export class TokenFile implements TokenHolders {
  readonly #path: string
  readonly #say: (line: string) => void
  readonly #timer: NodeJS.Timeout
  #text: string
  #tokens: Tokens
  #complaint = ''

  /** Reads the file; throws USAGE as Tokens.load() does. Looks at it until close(). */
  constructor(path: string, say: (line: string) => void) {
    this.#path = path
    this.#say = say
    this.#text = readTokenFile(path)
    this.#tokens = Tokens.parse(this.#text)
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  holderOf(authorization: string | undefined, nowMs: number): Holder | null {
    return this.#tokens.holderOf(authorization, nowMs)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    try {
      const text = readTokenFile(this.#path)
      if (text === this.#text && this.#complaint === '') return
      this.#tokens = Tokens.parse(text)
      this.#text = text
      this.#complaint = ''
      this.#say('the token file has changed: its tokens hold now')
    } catch (error) {
      const complaint = (error as Error).message.replace(/^USAGE: /, '')
      if (complaint === this.#complaint) return
      this.#complaint = complaint
      this.#say(`${complaint}; the tokens read before hold on`)
    }
  }
}
