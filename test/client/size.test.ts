import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'

/** Bytes of the ES module, minified and gzipped, that a page loads. README.md says what they hold. */
const MOST = 7_550

t.test(`the client is at most ${MOST} bytes, and takes nothing else into a page`, async (t) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL('../../lib/client/index.ts', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    minify: true,
    metafile: true,
    write: false
  })
  const size = gzipSync(outputFiles[0]!.contents, { level: 9 }).length
  t.comment(`${size} bytes`)
  t.ok(size <= MOST, `${size} bytes`)
  for (const file of Object.keys(metafile.inputs)) t.match(file, /lib\/(client|protocol)\/|lib\/structures\/refilled\.ts$/)
})
