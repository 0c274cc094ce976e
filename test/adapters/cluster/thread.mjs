// A thread that serves a room, for a test that ends it. It tells its port.
import { parentPort } from 'node:worker_threads'
import { register } from 'tsx/esm/api'

register()
const { serve } = await import('./worker-app.ts')
const app = await serve()
parentPort.postMessage(app.server.address().port)
