// What a person reads first: every command has help, the help names every option that is parsed, and --json is only JSON.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { holdfast, PROJECT_DIR } from './command.ts'

const COMMANDS = ['run', 'node', 'generate', 'query', 'top', 'token', 'capacity', 'explain', 'audit', 'model']
const MODEL_COMMANDS = ['evaluate', 'list', 'show', 'diff', 'activate', 'rollback']
const WITH_OPTIONS = [...COMMANDS.filter((name) => name !== 'model'), ...MODEL_COMMANDS.map((name) => `model ${name}`)]
/** Where a command's options are declared, if not in cli/commands.ts. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  generate: ['generate/generate-command.ts'],
  query: ['query-command.ts', 'node-client.ts'],
  top: ['top-command.ts', 'node-client.ts'],
  token: ['token-command.ts'],
  capacity: ['capacity-command.ts'],
  'model evaluate': ['evaluate/evaluate-command.ts'],
}

/** Options as they are declared, by command; those of planOptions belong to two, those of `where` to every one of model's. */
function declared(command: string): string[] {
  const sourceOf = (file: string): string => readFileSync(join(PROJECT_DIR, 'cli', file), 'utf8')
  const own = FILES[command]
  if (own !== undefined) return own.flatMap((file) => optionsIn(sourceOf(file)))
  const [, ofModel] = /^model (.*)/.exec(command) ?? []
  if (ofModel !== undefined) {
    const parts = sourceOf('model-command.ts').split(/(?=where\(model|const where)/)
    return parts
      .filter((part) => part.includes(`model.command('${ofModel}')`) || part.startsWith('const where'))
      .flatMap(optionsIn)
  }
  const source = sourceOf('commands.ts')
  const parts = source.split(/(?=\.command\('|const planOptions)/)
  const part = parts.find((part) => part.startsWith(`.command('${command}')`))!
  const shared = parts.find((part) => part.startsWith('const planOptions'))!
  const isShared = new RegExp(`planOptions\\(program\\.command\\('${command}'\\)\\)`).test(source)
  return optionsIn(`${part}${isShared ? shared : ''}`)
}

const optionsIn = (source: string): string[] =>
  [...source.matchAll(/ption\(\s*'(--[\w-]+)/g)].map(([, option]) => option!)

it('the list of commands is the help, also where there is no command', async () => {
  const { stdout, code } = await holdfast(['--help'])
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'))
  expect(code).toBe(0)
  const ofModel = (await holdfast(['model', '--help'])).stdout
  const listed = [...ofModel.slice(ofModel.indexOf('Commands:')).matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name)
  expect(listed).toEqual([...MODEL_COMMANDS, 'help'])
  const none = await holdfast([])
  expect(none.stderr).toBe(stdout)
  expect(none.code).toBe(2)
})

it.each(WITH_OPTIONS)('%s --help says what it does and what every option means', async (command) => {
  const { stdout, code } = await holdfast([...command.split(' '), '--help'])
  expect(code).toBe(0)
  const options = declared(command)
  expect(options.length).toBeGreaterThan(1)
  // An option, perhaps a value, two spaces, and words.
  for (const option of options) expect(stdout).toMatch(new RegExp(`^ {2}${option}( <\\w+>)? +\\S+ \\S+`, 'm'))
  const named = [...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, option]) => option)
  expect(new Set(named)).toEqual(new Set(options))
})

it('explain prints the plan as text and as JSON, nothing else', async () => {
  const text = await holdfast(['explain', '--partitions', '3'])
  expect(text.stdout).toMatch(/7 stages x 3 partitions = 21 tasks/)
  const { stdout, stderr } = await holdfast(['explain', '--partitions', '3', '--live', '--json'])
  expect(JSON.parse(stdout)).toMatchObject({ clock: 'wall', partitions: 3, namespace: 'holdfast' })
  expect(stderr).toBe('')
})

it('the version is the release', async () =>
  expect((await holdfast(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/))

it('MN1: the commands of models load nothing of the others', async () => {
  const tellUrls = `
    import { registerHooks } from 'node:module'
    registerHooks({ load(url, context, next) { console.error(url); return next(url, context) } })`
  const hooks = ['--import', `data:text/javascript,${encodeURIComponent(tellUrls)}`]
  const command = [join(PROJECT_DIR, 'cli/main.ts'), 'model', 'rollback', '--help']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [...hooks, ...command])
  expect(stdout).toContain('Make an older version score again.')
  expect(stderr).toContain('/cli/model-command.ts')
  expect(stderr).not.toMatch(
    /\/cli\/(commands|settings)\.ts|\/topology\/host|\/node_modules\/(typebox|fastify|rocksdb)\//,
  )
})
