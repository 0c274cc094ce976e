import { defineConfig } from 'vite'

export default defineConfig({
  server: {
    proxy: {
      // One entry for all transports: the upgrade needs `ws`, streams and polls need nothing.
      '/ws': {
        target: process.env.API_URL ?? 'http://127.0.0.1:3000',
        ws: true,
        // The Host stays that of the page, with which the origin check compares.
        changeOrigin: false
      },
      '/token': process.env.API_URL ?? 'http://127.0.0.1:3000'
    }
  }
})
