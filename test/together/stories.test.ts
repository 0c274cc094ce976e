import { runTogether } from '../helpers/together.js'

await runTogether(
  'stories/built-in-rooms',
  'stories/composed-keys',
  'stories/diagnostics-channels',
  'stories/drained-readers',
  'stories/ends-of-texts',
  'stories/forged-cursors',
  'stories/given-up',
  'stories/growing-texts',
  'stories/growing-texts-across-nodes',
  'stories/growing-texts-of-clients',
  'stories/half-opened-rooms',
  'stories/live-state',
  'stories/member-data',
  'stories/oracle',
  'stories/own-messages',
  'stories/server-joins',
  'stories/span-secrets'
)
