import { runTogether } from '../helpers/together.js'

await runTogether(
  'client/backoff',
  'client/handles',
  'client/members',
  'client/size',
  'client/sleep',
  'client/sse-parser',
  'client/state',
  'client/texts',
  'client/token-bucket',
  'client/upward'
)
