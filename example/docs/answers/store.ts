import { rmSync } from 'node:fs'
// A CommonJS package, of which only the default can be imported.
import sqlite from 'node-sqlite3-wasm'
import type { Answers, End, Row } from './database.js'

type Stored = Omit<Row, 'end' | 'savedAt'> & { readonly ended: string | null, readonly saved_at: number }

/** The answers in a file of SQLite, which is made where there is none. One server per file. */
export function openStore (path: string): Answers & { close (): void } {
  // A server that was killed while it wrote has left its lock, and nobody else could have one.
  rmSync(`${path}.lock`, { recursive: true, force: true })
  const database = new sqlite.Database(path)
  database.exec(`
    CREATE TABLE IF NOT EXISTS answer (
      number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, user TEXT NOT NULL,
      question TEXT NOT NULL, text TEXT NOT NULL, ended TEXT, saved_at INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS answer_of ON answer (user, number)`)
  const rows = (sql: string, values: Array<string | number>): Row[] =>
    (database.all(sql, values) as unknown as Stored[]).map(({ id, user, question, text, ended, ...row }) => ({
      id, user, question, text, savedAt: row.saved_at, ...ended !== null && { end: JSON.parse(ended) as End }
    }))
  return {
    async insert ({ id, user, question }) {
      database.run('INSERT INTO answer (id, user, question, text, saved_at) VALUES (?, ?, ?, ?, ?)',
        [id, user, question, '', Date.now()])
    },
    async save (id, text, end) {
      database.run('UPDATE answer SET text = ?, ended = ?, saved_at = ? WHERE id = ?',
        [text, end === undefined ? null : JSON.stringify(end), Date.now(), id])
    },
    newest: async (user, count) =>
      rows('SELECT * FROM answer WHERE user = ? ORDER BY number DESC LIMIT ?', [user, count]).reverse(),
    open: async () => rows('SELECT * FROM answer WHERE ended IS NULL', []),
    close: () => { database.close() }
  }
}
