import { smoke } from '../consumer.js'
import { failed, heardAll, type Row } from '../table.js'
import type { Workspace } from '../workspace.js'

/** The package as ES module and CommonJS, by the Node that runs this. */
export async function * loadingRows ({ directory }: Workspace): AsyncGenerator<Row, void, undefined> {
  for (const [what, program] of [['ES module', 'app.mjs'], ['CommonJS', 'app.cjs']] as const) {
    const result = await smoke(directory, [program]).then(heardAll, failed)
    yield { what, version: `Node ${process.versions.node}`, ran: 'an app and its client over each transport', result }
  }
}
