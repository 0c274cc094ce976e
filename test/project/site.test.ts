import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { plainEnv, run } from '../../scripts/matrix/run.js'
import { PAGES, ROOT } from '../helpers/documents.js'

t.test('the site of the documents is built with a page for each of them, and no link in it is dead', async (t) => {
  const site = t.testdir()
  const { code, output } = await run(process.execPath, [
    'node_modules/vitepress/bin/vitepress.js', 'build', 'docs', '--outDir', site
  ], { cwd: ROOT, env: plainEnv() })
  t.equal(code, 0, output)
  const built = readdirSync(site, { recursive: true, encoding: 'utf8' })
  const pages = PAGES.filter((path) => path.startsWith('docs/')).map((path) => path.slice('docs/'.length, -'.md'.length))
  t.same(pages.filter((page) => !built.includes(join(`${page}.html`))), [])
})
