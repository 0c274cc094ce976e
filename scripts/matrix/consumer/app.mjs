import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { createPublisher, defineRoom, memory } from 'fastify-realtime'
import { connect } from 'fastify-realtime/client'
import { defineRoom as contract } from 'fastify-realtime/contract'
import { nats } from 'fastify-realtime/nats'
import { redis } from 'fastify-realtime/redis'
import { createPeer } from 'fastify-realtime/testing'
import smoke from './smoke.cjs'

smoke({
  Fastify, Type, realtime, defineRoom, createPublisher, memory, connect, contract, redis, nats, createPeer
})
