import { subscribe } from 'node:diagnostics_channel'
import { registerRealtimeInstrumentation } from 'fastify-realtime/otel'
import type { ConnectionClosed } from 'fastify-realtime'

// Once for the process, beside the SDK of OpenTelemetry, before or after the app is made.
const end = registerRealtimeInstrumentation()

// Without OpenTelemetry: what the channels are told.
subscribe('fastify-realtime:connection.close', (message) => {
  const { reason, duration } = message as ConnectionClosed
  process.stdout.write(`a connection ended with ${reason} after ${duration} ms\n`)
})

process.once('exit', end)
