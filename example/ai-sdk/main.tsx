import { useEffect, useState, type FormEvent, type ReactElement } from 'react'
import { createRoot } from 'react-dom/client'
import { useChat } from '@ai-sdk/react'
import type { UIMessage } from 'ai'
import { createChatTransport } from 'fastify-realtime/ai'
import { connect } from 'fastify-realtime/client'
import { ai } from './rooms.js'

const id = localStorage.chat ??= crypto.randomUUID()

async function token (): Promise<string> {
  const answer = await fetch('/login', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ chat: id })
  })
  if (!answer.ok) throw new Error(`/login answers ${answer.status}`)   // then the client tries again
  return (await answer.json() as { token: string }).token
}

async function load (): Promise<UIMessage[]> {
  const answer = await fetch('/messages', { headers: { authorization: `Bearer ${await token()}` } })
  if (!answer.ok) throw new Error(`/messages answers ${answer.status}`)
  return await answer.json() as UIMessage[]
}

const client = connect('/ws', { token })
const transport = createChatTransport(client, ai)

/** `resume` brings the answer that grows; what was said before is loaded. */
function Chat ({ earlier }: { earlier: UIMessage[] }): ReactElement {
  const chat = useChat({ id, transport, messages: earlier, resume: true })
  const { messages, setMessages, sendMessage, stop, status } = chat
  const [text, setText] = useState('')
  const [isWhole, setWhole] = useState(false)
  const [fault, setFault] = useState<Error>()
  const error = chat.error ?? fault
  useEffect(() => {
    const room = client.join(ai.at({ id }))
    room.joined.then(async ({ growing }) => {
      // No answer grows that `resume` could bring, but one may have ended since `earlier` was loaded.
      if (growing?.includes('answer') !== true) setMessages(await load())
      setWhole(true)
    }).catch(setFault)
    return () => { void room.leave() }
  }, [])
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    setText('')
    void sendMessage({ text })
  }
  return (
    <main>
      {messages.map(({ id, role, parts }) => (
        <p key={id} className={role}>{parts.map((part) => part.type === 'text' ? part.text : '')}</p>
      ))}
      {error !== undefined && <p role='alert'>{error.message}</p>}
      <form onSubmit={submit}>
        <input aria-label='Question' value={text} required onChange={({ target }) => { setText(target.value) }} />
        <button disabled={!isWhole || (status !== 'ready' && status !== 'error')}>Ask</button>
        <button type='button' onClick={() => { void stop() }}>Stop</button>
      </form>
    </main>
  )
}

createRoot(document.getElementById('root')!).render(<Chat earlier={await load()} />)
