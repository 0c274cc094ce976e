import type { Node } from './host.js'
import type { ContractTest, Scope } from './suite.js'

/** The adapter under test, as the parts of the contract see it. */
export interface Subject {
  readonly t: ContractTest
  readonly name: string
  readonly nodes: 1 | 2
  /** Two started nodes on one empty broker; the same one twice where there is only one. */
  readonly pair: (t: Scope) => Promise<[Node, Node]>
}
