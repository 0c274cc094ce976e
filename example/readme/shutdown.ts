import closeWithGrace from 'close-with-grace'
import { build } from './build.js'

const app = await build()
await app.listen({ port: 3000 })

closeWithGrace({ delay: 30_000 }, async () => {
  await app.rooms.drain()        // connections leave one after another, served until their turn
  await app.close()
})
