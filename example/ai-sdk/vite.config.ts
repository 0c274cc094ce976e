import { defineConfig } from 'vite'

const target = 'http://127.0.0.1:3000'

export default defineConfig({
  esbuild: { jsx: 'automatic' },
  build: { target: 'es2022' },                                 // for the `await` of the page
  server: { proxy: { '/ws': { target, ws: true }, '/login': target, '/messages': target } }
})
