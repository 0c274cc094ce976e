const NAME = 'permessage-deflate'
const FLAGS = new Set(['server_no_context_takeover', 'client_no_context_takeover'])

/**
 * Returns the first offer of permessage-deflate that can be accepted; `undefined` where there is none, and then the
 * connection works without compression (RFC 7692 5). One compressed frame is shared by all members, so an offer that
 * asks the server for a window smaller than the full one is declined.
 */
export function acceptableOffer (header: string | undefined): string | undefined {
  return header?.split(',').map((offer) => offer.split(';').map((part) => part.trim())).find(isAcceptable)?.join('; ')
}

function isAcceptable ([name, ...params]: readonly string[]): boolean {
  if (name !== NAME) return false
  const seen = new Set<string>()
  return params.every((param) => {
    const [, key = '', value] = /^([a-z_]+)(?:\s*=\s*"?(\d+)"?)?$/.exec(param) ?? []
    if (seen.has(key)) return false
    seen.add(key)
    if (FLAGS.has(key)) return value === undefined
    if (key === 'server_max_window_bits') return value === '15'
    return key === 'client_max_window_bits' && (value === undefined || /^(?:[89]|1[0-5])$/.test(value))
  })
}
