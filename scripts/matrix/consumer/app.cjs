'use strict'
const { Type } = require('@sinclair/typebox')
const Fastify = require('fastify')
const realtime = require('fastify-realtime')
const { createPublisher, defineRoom, memory } = require('fastify-realtime')
const { connect } = require('fastify-realtime/client')
const { defineRoom: contract } = require('fastify-realtime/contract')
const { nats } = require('fastify-realtime/nats')
const { redis } = require('fastify-realtime/redis')
const { createPeer } = require('fastify-realtime/testing')
const smoke = require('./smoke.cjs')

smoke({
  Fastify, Type, realtime, defineRoom, createPublisher, memory, connect, contract, redis, nats, createPeer
})
