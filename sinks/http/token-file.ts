// The tokens in a file that changes while the door is open: who was taken out of it is refused from the next look on.
// TF1: tokens change as a whole. A file that cannot be used keeps the ones that were read last, and that is said, once.
//      One that has no token any more takes back the last one, too.
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
  /** Whether the last look found no token. */
  #wasEmpty = false

  /** Reads the file; throws USAGE as Tokens.load() does. Looks at it until close(). */
  constructor(path: string, say: (line: string) => void) {
    this.#path = path
    this.#say = say
    this.#text = readTokenFile(path)
    this.#tokens = Tokens.parse(this.#text).some()
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
      const isNews = text !== this.#text || this.#complaint !== ''
      const tokens = isNews ? Tokens.parse(text) : this.#tokens
      // Whoever writes a file anew may empty it first: that there is none counts when two looks say so.
      const isSure = !tokens.isEmpty || this.#wasEmpty
      this.#wasEmpty = tokens.isEmpty
      if (!isNews || !isSure) return
      this.#tokens = tokens
      this.#text = text
      this.#complaint = ''
      const now = tokens.isEmpty ? 'it has none: nobody comes in with one' : 'its tokens hold now'
      this.#say(`the token file has changed: ${now}`)
    } catch (error) {
      const complaint = (error as Error).message.replace(/^USAGE: /, '')
      if (complaint === this.#complaint) return
      this.#complaint = complaint
      this.#say(`${complaint}; the tokens read before hold on`)
    }
  }
}
