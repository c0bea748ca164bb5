// `holdfast features`: which features are declared, what they are made of and cost, and what the compiler makes of all together.
// It looks at declarations only: no node has to run. The texts are in features-text.ts.

import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { HoldfastError } from '../../log/errors.ts'
import { compileFeatures } from '../../topology/features/compile.ts'
import { COST_COEFFICIENTS, costsOf } from '../../topology/features/costs.ts'
import type { Declarations } from '../../topology/features/declaration.ts'
import { explainFeatures } from '../../topology/features/explanation.ts'
import { derivedOf, lineageOf, madeOf, sourcesBehind } from '../../topology/features/lineage.ts'
import { duplicatesIn, meaningHashes } from '../../topology/features/meaning.ts'
import { type Registered, registered, searched, unreadFeatures } from '../../topology/features/registry.ts'
import { readShape } from '../data-directory.ts'
import { changeOf, type KeptFeatures } from '../kept-features.ts'
import { chosenFeatures, readDeclarations } from './declarations-file.ts'
import {
  checkedText,
  compatibilityText,
  costsText,
  duplicatesText,
  explanationText,
  featuresText,
  lineageText,
  shownText,
} from './features-text.ts'
import { SVG_HELP, writePicture } from './picture-file.ts'

interface Options {
  readonly file?: string
  readonly json?: boolean
  readonly svg?: string
  readonly served?: readonly string[]
}

const FILE = 'declarations as JSON, as `features list --json` prints them (default: those of the CVR application)'
/** Features that are named when one is asked for that is not there. */
const SUGGESTIONS_MAX = 5

/** Adds the commands. */
export function featuresCommand(features: Command): void {
  features.description('Declared features: which there are, what they are made of, what they cost, what runs for them.')
  const subcommand = (usage: string, description: string): Command =>
    features.command(usage).description(description).option('--json', 'as JSON')
  const onFile = (usage: string, description: string): Command =>
    subcommand(usage, description).option('--file <file>', FILE)

  onFile('list', 'All features; with --json the declarations themselves, as --file takes them.').action(
    (options: Options) => {
      const declarations = readDeclarations(options.file)
      print(options, declarations, () => featuresText(registered(declarations)))
    },
  )
  onFile('search <words...>', 'Features in whose name, entity, description, owner or type all the words occur.').action(
    (words: string[], options: Options) => {
      const found = searched(registered(readDeclarations(options.file)), words)
      print(options, found, () => featuresText(found))
    },
  )
  onFile('show <feature>', 'One feature, like user.clicks_7d: how it was declared.').action(
    (id: string, options: Options) => {
      const declarations = readDeclarations(options.file)
      const feature = featureNamed(declarations, id)
      const meaning = meaningHashes(declarations).get(id)!
      print(options, { ...feature, meaning }, () => shownText({ ...feature, meaning }, declarations))
    },
  )
  onFile(
    'lineage <feature>',
    'What a feature is made of, down to the fields of events, and what is made of it.',
  ).action((id: string, options: Options) => {
    const declarations = readDeclarations(options.file)
    featureNamed(declarations, id)
    const lineage = lineageOf(declarations)
    const [of, into] = [madeOf(lineage, id), derivedOf(lineage, id)]
    const report = { feature: id, of, sources: sourcesBehind(lineage, id), into }
    print(options, report, () => lineageText(report))
  })
  onFile('duplicates', 'Features that mean the same under several names, also when it is said in another way.').action(
    (options: Options) => {
      const declarations = readDeclarations(options.file)
      registered(declarations)
      const duplicates = duplicatesIn(declarations)
      print(options, duplicates, () => duplicatesText(duplicates))
    },
  )
  served(onFile('costs', 'What one key costs at most, by entity, owner and feature; shared parts are split.')).action(
    (options: Options) => {
      const declarations = readDeclarations(options.file)
      const unread = unreadIn(declarations, options)
      const costs = costsOf(compileFeatures(declarations, servedIn(options)))
      print(options, { ...costs, unread, coefficients: COST_COEFFICIENTS }, () => costsText(costs, unread))
    },
  )
  served(
    onFile('explain', 'What the compiler makes of all declarations: records, parts, who shares them, rules.').option(
      '--svg <file>',
      SVG_HELP,
    ),
  ).action((options: Options) => {
    const declarations = readDeclarations(options.file)
    const unread = unreadIn(declarations, options)
    const explanation = explainFeatures(declarations, options.served)
    if (options.svg !== undefined) writePicture(options.svg, explanation)
    print(options, { ...explanation, unread }, () => explanationText(explanation, unread))
  })
  subcommand('check <file>', 'Whether declarations have a meaning and flow only where they may. Exit 2 if not.').action(
    (file: string, options: Options) => {
      const declarations = readDeclarations(file)
      const compiled = compileFeatures(declarations)
      const duplicates = duplicatesIn(declarations)
      const { entities } = declarations
      const report = { features: compiled.features.length, entities: entities.length, duplicates }
      print(options, report, () => checkedText(report))
    },
  )
  subcommand(
    'compat <old> <new>',
    'Whether `run` and `node` go from one set of declarations to another: each a file, "application", or "none" for page views alone; the old one also a --data-dir. Exit 1 if not.',
  ).action(async (old: string, now: string, options: Options) => {
    const before: KeptFeatures = isDirectory(old) ? await readShape(old) : { features: declarationsIn(old) }
    const { report } = changeOf(before, { features: declarationsIn(now), vectors: before.vectors })
    print(options, report, () => compatibilityText(report))
    const { length } = report.refused
    if (length > 0) throw new Error(`${length} of ${old} would mean something else: give what is new a name of its own`)
  })
}

const declarationsIn = (choice: string): Declarations | undefined =>
  chosenFeatures(choice === 'none' ? undefined : choice)

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

function served(command: Command): Command {
  return command.option('--served <features>', 'ids that somebody reads, separated by commas (default: all)', (ids) =>
    ids.split(','),
  )
}

function servedIn({ served }: Options): { readonly served?: readonly string[] } {
  return served === undefined ? {} : { served }
}

/** What nobody reads; nothing where it was not said who reads what. */
function unreadIn(declarations: Declarations, { served }: Options): string[] {
  if (served === undefined) return []
  for (const id of served) featureNamed(declarations, id)
  return unreadFeatures(declarations, served)
}

function featureNamed(declarations: Declarations, id: string): Registered {
  const all = registered(declarations)
  const feature = all.find((other) => other.id === id)
  if (feature !== undefined) return feature
  const words = id.split(/[._]/).filter((word) => word !== '')
  const alike = searched(all, words.slice(0, 2)).slice(0, SUGGESTIONS_MAX)
  const advice = alike.length === 0 ? '`features list` has all' : `alike: ${alike.map((one) => one.id).join(', ')}`
  throw new HoldfastError('USAGE', `there is no feature "${id}"; ${advice}`)
}

function print({ json }: Options, value: unknown, words: () => string[]): void {
  process.stdout.write(json === true ? `${JSON.stringify(value, null, 2)}\n` : `${words().join('\n')}\n`)
}
