import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { ServerConfig } from '../shared/messages.js'
import { readCertificate } from './certificate.js'

/** A server of Node, with TLS where it is asked for, which listens. */
export async function listening (
  { certificate }: ServerConfig,
  listener?: RequestListener
): Promise<{ http: Server, port: number }> {
  const http = certificate === undefined
    ? createServer(listener)
    : createSecureServer(readCertificate(certificate), listener)
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return { http, port: (http.address() as AddressInfo).port }
}
