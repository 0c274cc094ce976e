import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import closeWithGrace from 'close-with-grace'
import { createServer, type PluginOption } from 'vite'
import { buildApp } from './chat/app.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/**
 * Starts the app of the chat, and before it the dev server of Vite, which makes the page and hands everything of the
 * app on to it: one origin for the browser, as behind a proxy in production.
 *
 * @param folder where the page is
 * @param plugin of the framework
 */
export async function startWithVite (folder: URL, plugin: PluginOption): Promise<void> {
  const app = await buildApp({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
  const target = await app.listen({ host: '127.0.0.1', port: 0 })
  const vite = await createServer({
    root: fileURLToPath(folder),
    configFile: false,
    logLevel: 'warn',
    cacheDir: `${ROOT}node_modules/.vite-${fileURLToPath(folder).split('/').at(-2)!}`,
    plugins: [plugin],
    // Where the package is installed nothing of this is needed.
    resolve: { alias: { 'fastify-realtime': `${ROOT}dist` }, dedupe: ['react', 'vue'] },
    server: {
      host: '127.0.0.1',
      port: Number(process.env.PORT ?? 5173),
      proxy: { '/ws': { target, ws: true }, '/login': target },
      fs: { allow: [ROOT, fileURLToPath(new URL('..', import.meta.resolve('vite/package.json')))] }
    }
  })
  await vite.listen()
  closeWithGrace({ delay: 10_000 }, async () => {
    await app.rooms.drain()
    await vite.close()
    await app.close()
  })
  const { port } = vite.httpServer!.address() as AddressInfo
  console.log(`The chat is at http://127.0.0.1:${port}/ (open it in two tabs)`)
}
