import { Type, type TSchema } from '@sinclair/typebox'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { explain } from '../errors/explain.js'

const closed = { additionalProperties: false }
const Ms = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })
const Count = Type.Integer({ minimum: 1 })
const Text = Type.String({ minLength: 1 })
const Given = Type.Unknown()
const Nodes = Type.Array(Type.Object({ host: Text, port: Type.Integer({ minimum: 1, maximum: 65_535 }) }), {
  minItems: 1
})

const common = {
  prefix: Type.Optional(Text),
  timeout: Type.Optional(Ms),
  check: Type.Optional(Ms),
  idempotency: Type.Optional(Ms),
  historyBytes: Type.Optional(Count),
  settings: Type.Optional(Type.Object({}))
}

const REDIS = Type.Object({
  url: Type.Optional(Text),
  client: Type.Optional(Given),
  cluster: Type.Optional(Nodes),
  sentinels: Type.Optional(Type.Object({ name: Text, nodes: Nodes }, closed)),
  ...common
}, closed)

const NATS = Type.Object({
  url: Type.Optional(Type.Union([Text, Type.Array(Text, { minItems: 1 })])),
  connection: Type.Optional(Given),
  jetstream: Type.Optional(Type.Boolean()),
  replicas: Type.Optional(Type.Integer({ minimum: 1, maximum: 5 })),
  storage: Type.Optional(Type.Union([Type.Literal('file'), Type.Literal('memory')])),
  ...common
}, closed)

const remembered = Type.Optional(Type.Object({ bytes: Count, perUser: Count }, closed))

const MEMORY = Type.Object({
  bytes: Type.Optional(Count),
  idempotency: Type.Optional(Ms),
  remembered,
  now: Type.Optional(Given)
}, closed)

const CLUSTER = Type.Object({
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  timeout: Type.Optional(Ms),
  historyBytes: Type.Optional(Count),
  calls: Type.Optional(Count)
}, closed)

const CLUSTER_HOST = Type.Object({
  bytes: Type.Optional(Count),
  idempotency: Type.Optional(Ms),
  remembered,
  waiting: Type.Optional(Count)
}, closed)

/** What it is called here, by what others, or other adapters of ours, call it. */
const MEANT: Readonly<Record<string, readonly string[]>> = {
  servers: ['url'],
  server: ['url'],
  urls: ['url'],
  uri: ['url'],
  host: ['url'],
  port: ['url'],
  redis: ['client'],
  keyPrefix: ['prefix'],
  prefix: ['name'],
  bytes: ['historyBytes'],
  historyBytes: ['bytes'],
  maxBytes: ['historyBytes', 'bytes'],
  nodes: ['cluster'],
  stream: ['jetstream']
}

/** @throws REALTIME_ERR_OPTIONS naming the path, and the option that was probably meant */
function check (name: string, rules: TSchema, options: object): void {
  // What is left out may also be written as undefined.
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const fault = explain(rules, given, name)
  if (fault === undefined) return
  const known = rules.properties as Record<string, unknown>
  const other = Object.keys(given).find((key) => !Object.hasOwn(known, key))
  const meant = other === undefined || !Object.hasOwn(MEANT, other)
    ? undefined
    : MEANT[other]!.find((each) => Object.hasOwn(known, each))
  throw new REALTIME_ERR_OPTIONS(
    meant === undefined ? fault : `${name}.${other!} is no option; did you mean "${meant}"?`
  )
}

export function checkRedis (options: object): void { check('options of redis()', REDIS, options) }
export function checkNats (options: object): void { check('options of nats()', NATS, options) }
export function checkMemory (options: object): void { check('options of memory()', MEMORY, options) }
export function checkCluster (options: object): void { check('options of cluster()', CLUSTER, options) }
export function checkClusterHost (options: object): void { check('options of hostCluster()', CLUSTER_HOST, options) }
