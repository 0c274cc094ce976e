export type StatsFormat = 'json' | 'prometheus' | 'html'

interface Range { readonly type: string, readonly q: number }

function ranges (accept: string): Range[] {
  return accept.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((each) => each.trim().toLowerCase())
    const q = parameters.find((each) => each.startsWith('q='))
    return { type, q: q === undefined ? 1 : Number(q.slice(2)) || 0 }
  }).filter(({ type }) => type !== '')
}

/** Quality of the best range among `types`. Parameters other than `q` do not count. */
function quality (all: readonly Range[], ...types: string[]): number | undefined {
  let best: number | undefined
  for (const { type, q } of all) if (types.includes(type)) best = Math.max(best ?? 0, q)
  return best
}

/**
 * Chooses the form of the stats that a client wants. Prometheus names its formats with `version` parameters, which a
 * general negotiator would take for other types than plain text, so that Prometheus would get JSON.
 *
 * @param format the `format` of the query, which decides when it is one of the three forms
 */
export function negotiate (accept: string | undefined, format?: unknown): StatsFormat {
  if (format === 'json' || format === 'prometheus' || format === 'html') return format
  if (accept === undefined || accept === '') return 'json'
  const all = ranges(accept)
  const any = quality(all, '*/*') ?? 0
  const text = quality(all, 'application/openmetrics-text', 'text/plain') ?? quality(all, 'text/*') ?? any
  const json = quality(all, 'application/json') ?? quality(all, 'application/*') ?? any
  const html = quality(all, 'text/html', 'application/xhtml+xml') ?? 0
  if (html > 0 && html >= text && html >= json) return 'html'
  return text > json ? 'prometheus' : 'json'
}
