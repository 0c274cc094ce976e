import type { Metric } from 'prom-client'

type Labels = Readonly<Record<string, string>>

/** Gives one sample of a metric; samples of the same labels are added up. */
export type Give = (value: number, labels?: Labels) => void

/**
 * Makes a metric whose samples are read at each scrape. Those of prom-client would load that package at the start of a
 * node, whose metrics may never be read.
 *
 * @param collect gives the samples, at each scrape
 */
export function collected (
  kind: 'gauge' | 'counter',
  name: string,
  help: string,
  labelNames: readonly string[],
  collect: (give: Give) => void
): Metric {
  const metric = {
    name,
    help,
    labelNames,
    type: kind,
    aggregator: 'sum',
    get: async () => {
      const values = new Map<string, { value: number, readonly labels: Labels }>()
      collect((value, labels = {}) => {
        const key = JSON.stringify(labels)
        const known = values.get(key)
        if (known === undefined) values.set(key, { value, labels })
        else known.value += value
      })
      // A registry of OpenMetrics shortens the name of a counter at its first scrape.
      return { name: metric.name, help, type: kind, aggregator: 'sum', values: [...values.values()] }
    },
    // What is read elsewhere begins with the node.
    reset: () => undefined
  }
  // A registry calls nothing else of a metric; the type names the classes of prom-client.
  return metric as unknown as Metric
}
