import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../../scripts/matrix/run.js'
import { ROOT } from '../../scripts/matrix/tarball.js'

/** A repository of its own, with what runs TypeScript in ours. */
async function repository (t: Test, files: Readonly<Record<string, string>>): Promise<{
  write (name: string, text: string): Promise<void>
  run (name: string): Promise<string>
  remove (name: string): Promise<void>
}> {
  const root = t.testdir()
  for (const folder of ['lib', 'test', 'dist']) await mkdir(join(root, folder), { recursive: true })
  await cp(join(ROOT, 'scripts/typescript'), join(root, 'scripts/typescript'), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  const write = async (name: string, text: string): Promise<void> => { await writeFile(join(root, name), text) }
  await write('package.json', '{ "type": "module" }')
  for (const [name, text] of Object.entries(files)) await write(name, text)
  const { TYPESCRIPT_MIRROR: _, ...env } = process.env
  return {
    write,
    remove: async (name) => { await rm(join(root, name)) },
    run: async (name) => {
      const { output } = await run(process.execPath, ['--import', './scripts/typescript/register.mjs', name], { cwd: root, env })
      return output.trim().replaceAll(root, '')
    }
  }
}

t.test('a source runs as it stands, with the modules that it names, those that it finds while it runs, and its own address', async (t) => {
  const here = await repository(t, {
    'lib/number.ts': 'export const number: number = 1',
    'lib/plain.mjs': 'export const plain = 2',
    'dist/built.js': 'export const built = 4',
    'lib/later.ts': "export { number as later } from './number.js'",
    'test/main.ts': `import { number } from '../lib/number.js'
      import { plain } from '../lib/plain.mjs'
      import { built } from '../dist/built.js'
      const { later } = await import('../lib/later.js')
      const { later: same } = await import(new URL('../lib/later.ts', import.meta.url).href)
      console.log(number, plain, built, later, later === same, import.meta.url, import.meta.dirname, process.argv[1])`
  })
  t.match(await here.run('test/main.ts'), /^1 2 4 1 true file:\/\/\S*\/test\/main\.ts \/test \S*\/test\/main\.ts$/)
  await here.write('lib/number.ts', 'export const number: number = 30')
  t.match(await here.run('test/main.ts'), /^30 2 4 30 true /)
})

t.test('a source that is gone is not found, and one whose types cannot be blanked is named', async (t) => {
  const here = await repository(t, {
    'lib/gone.ts': 'export {}',
    'test/main.ts': "import '../lib/gone.js'",
    'test/other.ts': "import './wrong.js'",
    'test/wrong.ts': 'export enum Wrong { A }'
  })
  t.equal(await here.run('test/main.ts'), '')
  await here.remove('lib/gone.ts')
  t.match(await here.run('test/main.ts'), /ERR_MODULE_NOT_FOUND.*gone\.js/s)
  t.match(await here.run('test/other.ts'), /SyntaxError: .*test\/wrong\.ts: .*enum/s)
})
