import { readFileSync } from 'node:fs'
import type { Certificate } from '../shared/messages.js'

export function readCertificate ({ key, cert }: Certificate): { key: Buffer, cert: Buffer } {
  return { key: readFileSync(key), cert: readFileSync(cert) }
}
