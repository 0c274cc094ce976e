import { readFile } from 'node:fs/promises'
import { startPostgres } from '../bridges/postgres.js'
import { setStage } from '../bridges/stage.js'

const stage = await setStage('initdb', 'postgres')
const url = await startPostgres(stage, await readFile(new URL('outbox.sql', import.meta.url), 'utf8'))
console.log(`postgres ${url}`)
stage.supervise(new URL('bridge.ts', import.meta.url), { DATABASE_URL: url })
console.log(`
A stream of one order, in another terminal; put the address of the node in place of NODE:

  curl -sN -H 'authorization: Bearer ada' -H 'accept: text/event-stream' NODE/ws/orders/7

A change with its event, in a third; with rollback in place of commit nothing is sent:

  psql ${url} -c "begin; insert into outbox (room, event, data)
    values ('orders/7', 'changed', '{\\"status\\": \\"packed\\", \\"step\\": 1}'); commit"

Kill the bridge (kill -9 its pid), insert more, and see that each comes once. Ctrl-C stops all.
`)
