import { build } from 'esbuild'

/** Writes the client library as one file, once, when you deploy. */
export async function buildClient (outfile: string): Promise<void> {
  await build({
    stdin: { contents: 'export * from "fastify-realtime/client"', resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    outfile
  })
}
