import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setStage } from '../bridges/stage.js'

const { program, keep, supervise } = await setStage('kcat')
// The broker that librdkafka is tested with, inside a producer that waits for its input. It keeps records and committed
// offsets for as long as it runs.
const kcat = keep(spawn(program('kcat'), ['-b', 'mock', '-X', 'test.mock.num.brokers=1', '-P', '-t', 'orders'], {
  stdio: ['pipe', 'ignore', 'pipe'],
  detached: true
}))
let brokers = ''
for await (const line of createInterface(kcat.stderr!)) {
  brokers = /replaced with (\S+)/.exec(line)?.[1] ?? ''
  if (brokers !== '') break
}
kcat.stderr!.resume()
console.log(`kafka  ${brokers}`)
supervise(new URL('bridge.ts', import.meta.url), { KAFKA_BROKERS: brokers })
console.log(`
A stream of one order, in another terminal; put the address of the node in place of NODE:

  curl -sN -H 'authorization: Bearer ada' -H 'accept: text/event-stream' NODE/ws/orders/7

A record for it, in a third, a few times:

  echo '7|{"status":"packed","step":1}' | kcat -b ${brokers} -P -t orders -K '|'

Kill the bridge (kill -9 its pid), send more, and see that each comes once. Ctrl-C stops all.
`)
