import { buildApp } from './app.js'
import { model } from './model.js'

const app = await buildApp(model, { logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
console.log(`The chats are at ${await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })}/`)
