import { build } from './server.js'

const app = await build()
console.log(await app.listen({ port: 3000 }))
