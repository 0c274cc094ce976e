import { broken, LATE, NOT_FOUND } from '../errors.js'
import { refusal } from '../links/http.js'
import type { Part } from '../part.js'
import { here } from '../platform.js'
import { BLOCKED } from '../reconnecting-link.js'
import { abortAfter, now } from '../timers.js'

/**
 * Tells more precisely why a link never opened: `cors_refused`, `certificate_invalid` and `timeout`, which otherwise
 * are `unreachable`, and `not_found` where something else answers.
 */
export const diagnosis: Part = ({ url, line, options: { fetch: ask = globalThis.fetch } }) => {
  line.diagnose = async () => {
    const signal = abortAfter(line.timeout)
    const begun = now()
    try {
      const response = await line.http(`?verdict=1${here.origin ? `&origin=${encodeURIComponent(here.origin)}` : ''}`, {
        signal
      })
      if (response.status !== 200) return await refusal(response)
      if (!('userId' in (await response.json().catch(() => ({})) as object))) return NOT_FOUND
      // A server that answers this slowly is busy.
      return now() - begun > line.timeout / 2 ? LATE : BLOCKED
    } catch (error) {
      // A page does not learn why a request failed. If the URL answers a request whose answer need not be readable,
      // then CORS headers are missing.
      const isThere = here.location && ask && await ask(url.replace(/^ws/, 'http'), { mode: 'no-cors', signal }).catch(() => {})
      const { cause } = error as { cause?: { code: string } }
      return isThere
        ? broken(error, 'cors_refused', `what answers at ${url} lets no page of this origin in, or is no endpoint`)
        : broken(error, signal.aborted
          ? 'timeout'
          : /CERT|SIGN/.test(cause?.code!) ? 'certificate_invalid' : 'unreachable')
    }
  }
}
