import { StrictMode } from 'react'
import { hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { RealtimeProvider } from 'fastify-realtime/react'
import { client } from '../client.js'
import { Page } from './page.jsx'

const app = <StrictMode><RealtimeProvider client={client}><Page /></RealtimeProvider></StrictMode>
const root = document.getElementById('root')
root.innerHTML = renderToString(app)
hydrateRoot(root, app)
