import type { AdapterHost } from '../adapter.js'
import type { Node } from './host.js'
import type { ContractTest, Scope } from './suite.js'

/** The adapter under test, as the parts of the contract see it. */
export interface Subject {
  readonly t: ContractTest
  readonly name: string
  readonly nodes: 1 | 2
  /** Starts two nodes on one empty broker, with these bounds. Where there is only one node, it is returned twice. */
  readonly pair: (t: Scope, remembered?: AdapterHost['remembered']) => Promise<[Node, Node]>
}
