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
    for (let isThere: unknown; ;) {
      try {
        const response = await line.http(
          `?verdict=1${here.origin ? `&origin=${encodeURIComponent(here.origin)}` : ''}`,
          { signal }
        )
        if (response.status !== 200) return await refusal(response)
        if (!('userId' in (await response.json().catch(() => ({})) as object))) return NOT_FOUND
        // A server that answers this slowly is busy.
        return now() - begun > line.timeout / 2 ? LATE : BLOCKED
      } catch (error) {
        const { cause } = error as { cause?: { code: string } }
        if (isThere && !signal.aborted) return broken(error, 'cors_refused', `${url} lets no page of this origin in, or is no endpoint`)
        // A page does not learn why a request failed. If there is an answer where it need not be readable, then CORS
        // headers are missing, or the server has just started. What is asked for there needs no credential.
        isThere = here.location && ask && await ask(url.replace(/^ws/, 'http') + '/client.js', {
          method: 'HEAD',
          mode: 'no-cors',
          signal
        }).catch(() => {})
        if (!isThere) {
          return broken(error, signal.aborted
            ? 'timeout'
            : /CERT|SIGN/.test(cause?.code!) ? 'certificate_invalid' : 'unreachable')
        }
      }
    }
  }
}
