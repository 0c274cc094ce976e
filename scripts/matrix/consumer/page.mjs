export { connect } from 'fastify-realtime/client'
