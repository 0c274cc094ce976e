import { runTogether } from '../helpers/together.js'

await runTogether(
  'app/numbers',
  'app/recheck',
  'app/reply-position',
  'app/told-revocations',
  'stats/admin',
  'stats/cluster',
  'stats/page',
  'stats/selection'
)
