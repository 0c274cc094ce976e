import { REALTIME_ERR_ADAPTER } from '../../errors/misuse.js'

/** What the account does not let this node do. */
export interface Denied { readonly operation: 'publish' | 'subscription', readonly subject: string }

/** @returns what the server has denied, where that is what an error says */
export function deniedBy (error: unknown): Denied | undefined {
  if (!(error instanceof Error)) return undefined
  // The class is that of a package which need not be there.
  return error.name === 'PermissionViolationError' ? error as Error & Denied : deniedBy(error.cause)
}

/** Says what to do where a right is missing: nothing else can be done about it. */
export function fixOf ({ operation, subject }: Denied): string {
  const list = operation === 'publish' ? 'publish' : 'subscribe'
  return `NATS denies this node a right that it needs: allow "${grantOf(subject)}" under permissions.${list} of its user, as the page NATS of the documentation lists them all`
}

/** @throws REALTIME_ERR_ADAPTER where the server has denied a right, without which this node does not start */
export function throwDenied (error: unknown): void {
  const denied = deniedBy(error)
  if (denied !== undefined) throw new REALTIME_ERR_ADAPTER(fixOf(denied))
}

/** The right as an operator writes it. Names of streams, buckets and inboxes cannot be granted by their beginning. */
function grantOf (subject: string): string {
  const request = /^\$JS\.API\.[A-Z.]*[A-Z](?=\.|$)/.exec(subject)?.[0]
  return `${request ?? subject.split('.')[0]!}.>`
}
