import { runTogether } from '../helpers/together.js'

await runTogether(
  'endpoint/client-script',
  'endpoint/openings',
  'endpoint/poll-ends',
  'endpoint/polls-at-once',
  'plugin',
  'schemas/asyncapi',
  'schemas/growing-texts',
  'schemas/openapi',
  'schemas/work'
)
