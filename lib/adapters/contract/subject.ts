import type { Node } from './host.js'
import type { ContractTest, Scope } from './suite.js'

/** The adapter under test, as the parts of the contract see it. */
export interface Subject {
  readonly t: ContractTest
  readonly name: string
  readonly nodes: 1 | 2
  /** Starts two nodes on one empty broker. Where there is only one node, it is returned twice. */
  readonly pair: (t: Scope) => Promise<[Node, Node]>
}
