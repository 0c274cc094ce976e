import { rmSync } from 'node:fs'
// A CommonJS package, of which only the default can be imported.
import sqlite from 'node-sqlite3-wasm'

/** One line of a conversation, as it is stored and as it is sent. */
export interface Message {
  /** Counts up: the order of the messages. */
  id: number
  customer: string
  by: string
  text: string
  /** Unix milliseconds. */
  at: number
}

/** The messages of all conversations. */
export interface Messages {
  /** Stores a message once: with the same `sentAs` of the same author it returns what is stored already. */
  add (message: Omit<Message, 'id' | 'at'>, sentAs: string): Message
  /** The newest messages of a conversation, at most 50, the oldest of them first. */
  of (customer: string): Message[]
  /** The last message of each conversation, the newest first, at most 50. */
  newest (): Message[]
  close (): void
}

/** Opens the file, which is made where there is none; `:memory:` keeps nothing. One server per file. */
export function openMessages (path: string): Messages {
  // A server that was killed while it wrote has left its lock, and nobody else could have one.
  rmSync(`${path}.lock`, { recursive: true, force: true })
  const database = new sqlite.Database(path)
  const rows = (sql: string, values: Array<string | number>): Message[] =>
    database.all(sql, values) as unknown as Message[]
  database.exec(`
    CREATE TABLE IF NOT EXISTS message (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      customer TEXT NOT NULL, "by" TEXT NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL,
      sent_as TEXT NOT NULL,
      UNIQUE ("by", sent_as)
    );
    CREATE INDEX IF NOT EXISTS message_of ON message (customer, id)`)
  return {
    add ({ customer, by, text }, sentAs) {
      database.run('INSERT INTO message (customer, "by", text, at, sent_as) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
        [customer, by, text, Date.now(), sentAs])
      return rows('SELECT id, customer, "by", text, at FROM message WHERE "by" = ? AND sent_as = ?', [by, sentAs])[0]!
    },
    of: (customer) => rows(`SELECT id, customer, "by", text, at FROM message
      WHERE customer = ? ORDER BY id DESC LIMIT 50`, [customer]).reverse(),
    newest: () => rows(`SELECT id, customer, "by", text, at FROM message
      WHERE id IN (SELECT max(id) FROM message GROUP BY customer) ORDER BY id DESC LIMIT 50`, []),
    close: () => { database.close() }
  }
}
