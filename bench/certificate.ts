import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import type { Certificate } from './shared/messages.js'

/** A certificate for the servers under test, in files that are gone with this process. */
export async function makeCertificate (): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: '127.0.0.1' }], { keyType: 'ec', algorithm: 'sha256' })
  const folder = mkdtempSync(join(tmpdir(), 'bench-tls-'))
  process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  const files = { key: join(folder, 'key.pem'), cert: join(folder, 'cert.pem') }
  writeFileSync(files.key, key)
  writeFileSync(files.cert, cert)
  return files
}
