import { useChat } from '@ai-sdk/react'
import { createElement as h, useMemo } from 'react'
import { createRoot } from 'react-dom/client'
import { createChatTransport } from '../../dist/ai/index.js'
import { connect } from '../../dist/client/index.js'

const client = connect('/ws', { token: async () => await (await fetch('/token')).text() })
const definition = { at: ({ id }) => ({ name: `ai/${id}` }) }

function Chat () {
  const transport = useMemo(() => createChatTransport(client, definition), [])
  const { messages, sendMessage, stop, status, error } = useChat({ id: 'c1', transport, resume: true })
  return h('main', {},
    h('p', { id: 'status' }, status),
    h('p', { id: 'error' }, error?.message ?? ''),
    h('ol', {}, messages.map(({ id, role, parts }) => h('li', { key: id, className: role }, parts.map((part, index) =>
      h('span', { key: index, className: part.type }, part.type === 'text' ? part.text : JSON.stringify(part.output ?? ''))
    )))),
    ['hello', 'weather', 'fail'].map((text) =>
      h('button', { key: text, id: text, onClick: () => { void sendMessage({ text }) } }, text)),
    h('button', { id: 'stop', onClick: () => { void stop() } }, 'stop')
  )
}

createRoot(document.body.appendChild(document.createElement('div'))).render(h(Chat))
