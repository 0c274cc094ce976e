import { Registry, type MetricObject } from 'prom-client'
import { HookCounts } from '../../lib/gateway/hooks/counts.js'
import { Metrics } from '../../lib/stats/metrics.js'

/** prom-client says them of every metric, and its types of none. */
interface Described extends MetricObject { readonly labelNames?: readonly string[] }

/** One row for each metric of the plugin and of the gateway, in the order in which they are defined. */
export function metricsTable (): string {
  const registry = new Registry()
  // Nothing is scraped here, so nothing is read.
  const metrics = new Metrics(() => { throw new Error('not read') }, registry)
  const counts = new HookCounts(registry)
  void counts
  const rows = (registry.getMetricsAsArray() as unknown as Described[]).map(({ name, type, help, labelNames = [] }) =>
    `| \`${name}\` | ${type} | ${labelNames.map((label) => `\`${label}\``).join(', ')} | ${help} |`)
  metrics.close()
  return ['| metric | type | labels | |', '|---|---|---|---|', ...rows].join('\n')
}
