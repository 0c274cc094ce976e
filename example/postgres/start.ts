import { execFileSync, spawn } from 'node:child_process'
import { chmod, chown, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { setStage } from '../bridges/stage.js'
import { freePort, listening } from '../cluster/programs.js'

/** PostgreSQL does not run as root: then the user that Debian's package has made runs it. */
function unprivileged (): { uid: number, gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (what: string): number => Number(execFileSync('id', [what, 'postgres'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

/** The server listens before it answers. */
async function connected (connectionString: string): Promise<pg.Client> {
  for (;;) {
    const client = new pg.Client({ connectionString })
    try {
      await client.connect()
      return client
    } catch (error) {
      if ((error as { code?: string }).code !== '57P03') throw error
      await sleep(20)
    }
  }
}

const { directory, program, keep, supervise } = await setStage('initdb', 'postgres')
const user = unprivileged()
const data = join(directory, 'postgres')
await chmod(directory, 0o711)
await mkdir(data, { mode: 0o700 })
if (user !== undefined) await chown(data, user.uid, user.gid)
execFileSync(program('initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'], {
  stdio: ['ignore', 'ignore', 'inherit'],
  cwd: data,
  ...user
})
const port = await freePort()
const server = keep(spawn(program('postgres'), [
  '-D', data, '-h', '127.0.0.1', '-p', String(port), '-c', 'unix_socket_directories=', '-c', 'fsync=off',
  '-c', 'log_min_messages=fatal'
], { stdio: ['ignore', 'ignore', 'inherit'], cwd: data, detached: true, ...user }))
await listening('postgres', port, server)
const url = `postgres://postgres@127.0.0.1:${port}/postgres`
const client = await connected(url)
await client.query(await readFile(new URL('outbox.sql', import.meta.url), 'utf8'))
await client.end()
console.log(`postgres ${url}`)
supervise(new URL('bridge.ts', import.meta.url), { DATABASE_URL: url })
console.log(`
A stream of one order, in another terminal; put the address of the node in place of NODE:

  curl -sN -H 'authorization: Bearer ada' -H 'accept: text/event-stream' NODE/ws/orders/7

A change with its event, in a third; with rollback in place of commit nothing is sent:

  psql ${url} -c "begin; insert into outbox (room, event, data)
    values ('orders/7', 'changed', '{\\"status\\": \\"packed\\", \\"step\\": 1}'); commit"

Kill the bridge (kill -9 its pid), insert more, and see that each comes once. Ctrl-C stops all.
`)
