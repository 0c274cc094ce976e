import { Unread } from '../../../lib/adapters/broker/unread.js'
import { NatsLink, type NatsLinkOptions } from '../../../lib/adapters/nats/link.js'
import type { Teardown } from '../../helpers/servers.js'

const log = { warn: (): void => {} }

/** A link by itself, without an adapter around it; it is closed with the test. */
export async function openedLink (t: Teardown, options: Partial<NatsLinkOptions>): Promise<NatsLink> {
  const link = new NatsLink({
    url: '',
    connection: undefined,
    settings: {},
    prefix: 'realtime',
    jetstream: true,
    timeout: 2_000,
    log,
    unread: new Unread(log),
    onUp: () => {},
    onDown: () => {},
    onParted: () => {},
    ...options
  })
  await link.open()
  t.teardown(() => link.close())
  return link
}
