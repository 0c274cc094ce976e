import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { RealtimeProvider } from 'fastify-realtime/react'
import '../public/base.css'
import '../public/small-chat.css'
import { Chat } from './chat.js'
import { client } from './client.js'

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <RealtimeProvider client={client}>
      <Chat id='lobby' />
    </RealtimeProvider>
  </StrictMode>
)
