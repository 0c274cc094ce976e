import { execFileSync, spawn } from 'node:child_process'
import { chmod, chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { freePort, listening } from '../programs.js'
import type { Stage } from './stage.js'

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

/** Runs a PostgreSQL with a new database on a free port, and has the SQL done in it. @returns its URL */
export async function startPostgres ({ directory, program, keep }: Stage, sql: string): Promise<string> {
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
  await client.query(sql)
  await client.end()
  return url
}
