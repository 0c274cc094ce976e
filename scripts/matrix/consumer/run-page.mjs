/** `node run-page.mjs <bundle>`: the client of a bundle for browsers, against a server of the installed package. */
import { pathToFileURL } from 'node:url'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { createPublisher, defineRoom, memory } from 'fastify-realtime'
import { defineRoom as contract } from 'fastify-realtime/contract'
import { nats } from 'fastify-realtime/nats'
import { redis } from 'fastify-realtime/redis'
import { createPeer } from 'fastify-realtime/testing'
import { WebSocket } from 'ws'
import smoke from './smoke.cjs'

// As a browser has it; Node 20 does not.
globalThis.WebSocket = WebSocket
const { connect } = await import(pathToFileURL(process.argv[2]).href)
await smoke({
  Fastify, Type, realtime, defineRoom, createPublisher, memory, connect, contract, redis, nats, createPeer
})
