import react from '@vitejs/plugin-react'
import { startWithVite } from '../with-vite.js'

await startWithVite(new URL('.', import.meta.url), react())
