import closeWithGrace from 'close-with-grace'
import { servePages } from '../pages.js'
import { buildApp } from './app.js'

const app = await buildApp({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
await servePages(app, new URL('public/', import.meta.url), ['index.html', 'app.js', 'style.css'])

closeWithGrace({ delay: 30_000 }, async ({ err }) => {
  if (err !== undefined) app.log.error(err)
  await app.rooms.drain()
  await app.close()
})

const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`The assistant is at ${url}/ (reload it while it answers, or open it in a second tab)`)
