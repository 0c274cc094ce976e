import Fastify = require('fastify')
import type { FastifyPluginAsync } from 'fastify'
import realtime, { createPublisher, defineRoom, memory, type RealtimeOptions } from 'fastify-realtime'
import * as whole from 'fastify-realtime'
import required = require('fastify-realtime')
import { Type } from '@sinclair/typebox'
import { connect } from 'fastify-realtime/client'
import { defineRoom as contract } from 'fastify-realtime/contract'
import { nats } from 'fastify-realtime/nats'
import { redis } from 'fastify-realtime/redis'
import { createPeer } from 'fastify-realtime/testing'
import smoke = require('./smoke.cjs')

const chat = defineRoom('chat/:id', { events: { said: Type.Object({}) } })
const text: string = chat.at({ id: '1' }).name
/** What the import adds to Fastify's types. */
export function declare (app: Fastify.FastifyInstance): void {
  app.room(chat)
}
const plugins: Array<FastifyPluginAsync<RealtimeOptions>> = [
  realtime, whole.default, whole.fastifyRealtime, required.default, required.fastifyRealtime
]
for (const plugin of plugins) if (plugin !== realtime) throw new Error('another plugin')
for (const define of [whole.defineRoom, required.defineRoom, contract]) {
  if (define !== defineRoom) throw new Error(`another defineRoom for ${text}`)
}

smoke({
  Fastify, Type, realtime, defineRoom, createPublisher, memory, connect, contract, redis, nats, createPeer
})
