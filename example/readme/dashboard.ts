import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import './types.js'

const app = Fastify()
await app.register(realtime, {
  jwt: { secret: process.env.JWT_SECRET ?? 'change me' },
  stats: {
    // For Prometheus; on the page it shows figures only.
    token: process.env.SCRAPE_TOKEN ?? 'change me too',
    // Without it: users whose role is admin.
    authorize: (user) => user.role === 'operator',
    // Admins may end connections, keep users out and drain nodes.
    actions: true
  }
})
await app.listen({ port: 3000 })
