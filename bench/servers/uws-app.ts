import uws from '@trufflesuite/uws-js-unofficial'
import type { ServerConfig } from '../shared/messages.js'

/** Bytes that may wait for a socket. */
export const BACKPRESSURE = 16 * 1024 * 1024

/** An app of uWebSockets.js, with TLS where it is asked for. @throws Error where there is no binary of it */
export function uwsApp ({ certificate }: ServerConfig): uws.TemplatedApp {
  // The package falls back to JavaScript without a word of its API: that would be measured under a wrong name.
  if (!('SHARED_COMPRESSOR' in uws)) {
    throw new Error(
      `no prebuilt binary of uWebSockets.js for Node ${process.versions.node} on ${process.platform}-${process.arch}`
    )
  }
  return certificate === undefined
    ? uws.App()
    : uws.SSLApp({ key_file_name: certificate.key, cert_file_name: certificate.cert })
}

/** @returns the port */
export async function uwsListening (app: uws.TemplatedApp): Promise<number> {
  return await new Promise<number>((resolve, reject) => {
    app.listen('127.0.0.1', 0, (listening) => {
      if (listening) resolve(uws.us_socket_local_port(listening))
      else reject(new Error('cannot listen'))
    })
  })
}
