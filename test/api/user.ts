// What 1-chat says of a user, for the apps that do not import it.
import type {} from '../../lib/index.js'

declare module '../../lib/index.js' { interface RealtimeTypes { user: { sub: string, name: string, rooms: string[], role?: string } } }
