import { connect } from 'fastify-realtime/client'

export const client = connect('/ws', { token: async () => await (await fetch('/token')).text() })
