import t from 'tap'
import { ProxyWarning } from '../../lib/admission/proxy-warning.js'

/** Looks at requests with these headers and addresses, and counts the warnings. */
function warned (
  limit: number | undefined,
  ...requests: ReadonlyArray<{ readonly headers: Record<string, string>, readonly ips?: string[] }>
): number {
  const warning = new ProxyWarning(limit)
  let count = 0
  for (const request of requests) {
    warning.look({ ...request, log: { warn: () => { count++ } } })
  }
  return count
}

const proxied = { headers: { 'x-forwarded-for': '203.0.113.9' } }

t.test('a request through a proxy that the app does not trust is warned of once, where addresses are limited', async (t) => {
  t.equal(warned(10, proxied, proxied), 1)
  t.equal(warned(10, { headers: {} }), 0)
  t.equal(warned(10, { ...proxied, ips: ['203.0.113.9'] }), 0, 'the app trusts the proxy')
  t.equal(warned(undefined, proxied), 0)
})
