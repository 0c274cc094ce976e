import type { RealtimeOptions } from 'fastify-realtime'
import { nats } from 'fastify-realtime/nats'

const settings = { user: 'realtime', pass: process.env.NATS_PASSWORD ?? '' }

export const oneServer: RealtimeOptions = {
  adapter: nats({ url: 'nats://10.0.0.5:4222', settings })
}

export const withCluster: RealtimeOptions = {
  adapter: nats({ url: ['nats://10.0.0.5:4222', 'nats://10.0.0.6:4222', 'nats://10.0.0.7:4222'], replicas: 3, settings })
}

/** No history and no limits across nodes: events reach who is there at the moment. */
export const withoutJetStream: RealtimeOptions = {
  adapter: nats({ url: 'nats://10.0.0.5:4222', jetstream: false, settings })
}
