import { createSigner } from 'fast-jwt'

export const SECRET = 'a crowd'
const sign = createSigner({ key: SECRET, expiresIn: 3_600_000 })

export function tokenOf (sub: string, role = 'member'): string { return sign({ sub, role }) }
