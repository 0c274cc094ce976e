import { nats } from '../../../lib/adapters/nats/adapter.js'
import { startNats } from '../../helpers/servers.js'
import { onBroker } from './broker.js'

onBroker({
  name: 'nats',
  program: 'nats-server',
  start: startNats,
  adapter: (url, prefix) => nats({ url, prefix }),
  isDense: false,
  isCounted: false
})
