declare module 'fastify-realtime' {
  interface RealtimeTypes {
    user: { sub: string, name: string, rooms: string[], role?: string }
  }
}

export {}
