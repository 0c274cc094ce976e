import type { Metric } from 'prom-client'
import type { Histogram } from '../structures/histogram.js'

/** One histogram, with the labels that tell it from the others of its metric. */
export interface Labelled { readonly labels: Readonly<Record<string, string>>, readonly histogram: Histogram }

/** One sample, in the form in which a registry of prom-client writes it. */
interface Sample {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  readonly exemplar: {
    readonly labelSet: Readonly<Record<string, string>>
    readonly value: number
    readonly timestamp: number
  } | null
}

function samplesOf (name: string, { labels, histogram: { bounds, counts, sum, exemplars } }: Labelled): Sample[] {
  let count = 0
  const buckets = counts.map((own, index): Sample => {
    count += own
    const exemplar = exemplars?.[index]
    const [, traceId = '', spanId = ''] = exemplar?.traceparent.split('-') ?? []
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: String(bounds[index] ?? '+Inf') },
      value: count,
      exemplar: exemplar === undefined
        ? null
        : { labelSet: { trace_id: traceId, span_id: spanId }, value: exemplar.value, timestamp: exemplar.at / 1_000 }
    }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum, exemplar: null },
    { metricName: `${name}_count`, labels, value: count, exemplar: null }
  ]
}

/**
 * Makes a metric of histograms that are counted elsewhere. One of prom-client would look a series up by its labels for
 * each observation, which costs more than what is observed.
 *
 * @param read gives the histograms, at each scrape
 */
export function distribution (
  name: string,
  help: string,
  labelNames: readonly string[],
  read: () => Iterable<Labelled>
): Metric {
  const metric = {
    name,
    help,
    labelNames,
    type: 'histogram',
    aggregator: 'sum',
    get: async () => ({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...read()].flatMap((each) => samplesOf(name, each))
    }),
    // What is counted elsewhere begins with the node.
    reset: () => undefined
  }
  // A registry calls nothing else of a metric; the type names the classes of prom-client.
  return metric as unknown as Metric
}
