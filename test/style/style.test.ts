// Style that matters is a test. Each check runs on the project, and on a small tree with a planted offender that it must see.

import { describe, expect, it } from 'vitest'
import { brokenFloors } from './floors.ts'
import { FUNCTION_LINES_MAX, longFunctions, strayMarks, unimportedFiles } from './leftovers.ts'
import { impureLines } from './purity.ts'
import { importsOf, projectTree, type Tree } from './tree.ts'

const project = projectTree()

function tree(files: Record<string, string>): Tree {
  return new Map(Object.entries(files))
}

it('sees the project: every floor that has files, and their imports', () => {
  expect([...project.keys()]).toContain('log/errors.ts')
  expect(importsOf(project)).toContainEqual({ from: 'log/frame.ts', to: 'log/errors.ts', isPackage: false })
  expect(project.size).toBeGreaterThan(30)
})

describe('floors', () => {
  it('hold in the project', () => expect(brokenFloors(project)).toEqual([]))

  it.each([
    ['upwards', 'state/a.ts', "import { x } from '../topology/b.ts'"],
    ['upwards, only a type', 'log/a.ts', "import type { X } from '../state/b.ts'"],
    ['upwards, several lines', 'log/a.ts', "import {\n  x,\n  y,\n} from '../cli/b.ts'"],
    ['upwards, re-exported', 'sinks/a.ts', "export { x } from '../replay/b.ts'"],
    ['upwards, when it runs', 'log/a.ts', "const x = await import('../cli/b.ts')"],
    ['upwards, as a worker', 'log/a.ts', "new Worker(new URL('../topology/b.ts', import.meta.url))"],
    ['ml to a floor', 'ml/a.ts', "import { x } from '../state/store.ts'"],
    ['tests from production', 'topology/a.ts', "import { x } from '../test/b.ts'"],
    ['the broker in an operator', 'operators/a.ts', "import { connect } from 'nats'"],
    ['files in an operator', 'operators/a.ts', "import { readFileSync } from 'node:fs'"],
    ['RocksDB beside its module', 'state/a.ts', "import RocksDB from 'rocksdb'"],
  ])('refuse an import %s', (_, from, text) => expect(brokenFloors(tree({ [from]: text }))).toHaveLength(1))

  it.each([
    ['downwards', 'topology/a.ts', "import { x } from '../log/b.ts'"],
    ['of the shared vocabulary', 'operators/a.ts', "import type { X } from './operator.ts'"],
    ['of ml by an operator', 'operators/a.ts', "import { x } from '../ml/b.ts'"],
    ['of anything by a test', 'operators/a.test.ts', "import { x } from '../topology/b.ts'"],
  ])('allow an import %s', (_, from, text) => expect(brokenFloors(tree({ [from]: text }))).toEqual([]))
})

it('refuses an import from operator to operator, and allows what operators share', () => {
  const operator = "import type { Operator } from './operator.ts'\n"
  const files = { 'operators/a.ts': `${operator}import { x } from './b.ts'\nimport { y } from './shared.ts'` }
  const others = { 'operators/b.ts': operator, 'operators/shared.ts': '', 'operators/operator.ts': '' }
  expect(brokenFloors(tree({ ...files, ...others }))).toEqual([
    'operators/a.ts imports operators/b.ts: operators share nothing but records',
  ])
})

describe('purity of operators', () => {
  it('holds in the project', () => expect(impureLines(project)).toEqual([]))

  it.each([
    'const now = Date.now()',
    'const now = new Date()',
    'const now = performance.now()',
    'if (Math.random() < 0.5) return',
    'const id = crypto.randomUUID()',
    'setTimeout(run, 5)',
    'const value = await store.get(key)',
  ])('refuses %s', (line) => expect(impureLines(tree({ 'operators/a.ts': `const a = 1\n${line}\n` }))).toHaveLength(1))

  it('looks at code, not at comments, and leaves other floors their clock', () => {
    const files = {
      'operators/a.ts': '// no Date.now here\nconst a = 1 // nor Math.random\n',
      'log/a.ts': 'Date.now()',
    }
    expect(impureLines(tree(files))).toEqual([])
  })

  it('knows a time that is given from one that is asked for', () => {
    expect(impureLines(tree({ 'operators/a.ts': 'const day = new Date(eventTimeMs)' }))).toEqual([])
  })
})

describe('leftovers', () => {
  it('no file that nobody imports', () => expect(unimportedFiles(project)).toEqual([]))
  it('no stray marks', () => expect(strayMarks(project)).toEqual([]))
  it('no function far too long', () => expect(longFunctions(project)).toEqual([]))

  it('sees a file that nobody imports, also one that only imports itself', () => {
    const files = {
      'log/a.ts': '',
      'log/b.ts': "import './b.ts'",
      'log/c.ts': '',
      'cli/main.ts': "import '../log/c.ts'",
    }
    expect(unimportedFiles(tree(files))).toEqual(['log/a.ts', 'log/b.ts'])
  })

  // Put together here, so that this file does not offend.
  it.each(['// TO' + 'DO later', '// FIX' + 'ME', 'it.' + "only('x')", 'describe.' + "skip('x')", 'it.' + "todo('x')"])(
    'sees %s',
    (line) => expect(strayMarks(tree({ 'log/a.ts': `a()\n${line}` }))).toHaveLength(1),
  )

  it.each([
    ['function a(): void {', '}'],
    ['const a = async () => {', '}'],
    ['  async *read(\n    from: number,\n  ): AsyncGenerator<void> {', '  }'],
  ])('sees a function far too long: %s', (open, close) => {
    const body = (lines: number) => `${open}\n${'      b()\n'.repeat(lines)}${close}\n`
    expect(longFunctions(tree({ 'log/a.ts': body(FUNCTION_LINES_MAX) }))).toEqual([])
    expect(longFunctions(tree({ 'log/a.ts': body(FUNCTION_LINES_MAX + 1) }))).toHaveLength(1)
  })
})
