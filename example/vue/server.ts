import vue from '@vitejs/plugin-vue'
import { startWithVite } from '../with-vite.js'

await startWithVite(new URL('.', import.meta.url), vue())
