/** How many apps of this process with rooms of their own listen on a port. */
const listening = new Map<number, number>()

/**
 * Counts an app that listens.
 *
 * @returns those of its ports on which another one listens
 */
export function enterPorts (ports: ReadonlySet<number>): number[] {
  const shared: number[] = []
  for (const port of ports) {
    const others = listening.get(port) ?? 0
    if (others > 0) shared.push(port)
    listening.set(port, others + 1)
  }
  return shared
}

/** Counts it no more. */
export function leavePorts (ports: ReadonlySet<number>): void {
  for (const port of ports) {
    const left = (listening.get(port) ?? 1) - 1
    if (left === 0) listening.delete(port)
    else listening.set(port, left)
  }
}
