import { BlockList, isIPv6 } from 'node:net'

const OWN_NETWORKS = new BlockList()
for (const [network, prefix] of [
  [
    '127.0.0.0',
    8
  ], [
    '10.0.0.0',
    8
  ], ['172.16.0.0', 12], ['192.168.0.0', 16], ['169.254.0.0', 16], ['100.64.0.0', 10], ['fc00::', 7], ['fe80::', 10]
] as const) OWN_NETWORKS.addSubnet(network, prefix, isIPv6(network) ? 'ipv6' : 'ipv4')
OWN_NETWORKS.addAddress('::1', 'ipv6')

/**
 * Whether an address is of this machine or of a private network. As the peer of a socket it may be a proxy, which
 * stands for all its clients.
 */
export function isPrivate (address: string): boolean {
  const [plain = ''] = address.split('%')
  return OWN_NETWORKS.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
}

/**
 * Whether an address says nothing of a client: it is that of a proxy which `trustProxy` does not name, or which does
 * not tell for whom it speaks.
 *
 * @param address the client's address as `trustProxy` determines it
 * @param peer the other end of the socket
 */
export function isShared (address: string, peer: string | undefined): boolean {
  return address === peer && isPrivate(address)
}
