// One process for a directory: two at once, by other ways, after the end of the one that had it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockDirectory } from './directory-lock.ts'

let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-lock-'))
})
afterEach(() => rm(dir, { recursive: true }))

/** Another process, once it has the lock. */
async function holderOf(path: string): Promise<ChildProcess> {
  const program = `
    import { lockDirectory } from ${JSON.stringify(join(import.meta.dirname, 'directory-lock.ts'))}
    await lockDirectory(${JSON.stringify(path)})
    console.log('locked')
    setTimeout(() => {}, 30_000)`
  const args = ['--input-type=module', '-e', program]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout!, 'data')
  return child
}

describe.runIf(process.platform === 'linux')('the lock of a directory', () => {
  it('is given to one of those who ask at once, and to the next when it is given back', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 5 }, () => lockDirectory(dir, 0)))
    const [given, ...more] = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    expect(more).toEqual([])
    await expect(lockDirectory(dir, 0)).rejects.toMatchObject({ code: 'STATE_LOCKED' })
    given!.release()
    const next = await lockDirectory(dir)
    next.release()
  })

  it('is one whatever way leads there, also before the directory is there', async () => {
    await mkdir(join(dir, 'real'))
    await symlink(join(dir, 'real'), join(dir, 'link'))
    const lock = await lockDirectory(join(dir, 'link', 'new'))
    await mkdir(join(dir, 'real', 'new'))
    await expect(lockDirectory(join(dir, 'real', 'new'), 0)).rejects.toThrow(/STATE_LOCKED/)
    const other = await lockDirectory(join(dir, 'real'), 0)
    other.release()
    lock.release()
  })

  it('ends with its process, however that ends', async () => {
    const holder = await holderOf(dir)
    await expect(lockDirectory(dir, 0)).rejects.toThrow(/STATE_LOCKED/)
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    const lock = await lockDirectory(dir)
    lock.release()
  })
})
