import { useEffect, useRef, useState, type FormEvent, type ReactElement } from 'react'
import { useConnection, useEvent, usePresence, useRoom } from 'fastify-realtime/react'
import { chat } from '../chat/rooms.js'
import { me } from './client.js'

export function Chat ({ id }: { readonly id: string }): ReactElement {
  const room = useRoom(chat.at({ id }), { last: 50, events: ['said'] })
  const { state } = useConnection()
  const [typing, setTyping] = useState('')
  const list = useRef<HTMLOListElement>(null)
  useEvent(room, 'typing', ({ data }) => { setTyping(data.name) })
  useEvent(room, 'said', () => { setTyping('') })
  useEffect(() => { list.current?.scrollTo(0, list.current.scrollHeight) }, [room.events])

  return (
    <main className='chat'>
      <header>
        <h1>Chat in React</h1>
        <State />
        <Members id={id} />
      </header>
      {room.gaps > 0 && <p className='banner' role='status'>Some messages were lost: more than the server keeps.</p>}
      {room.status === 'ended' && <p className='banner' role='alert'>{room.error?.message ?? 'The room was left.'}</p>}
      <ol ref={list} className='messages' role='log' aria-label='Messages' tabIndex={0}>
        {room.events.length === 0 && <li className='empty'>Nothing has been said here yet.</li>}
        {room.events.map(({ data }) => (
          <li key={data.id} className={data.name === me ? 'own' : ''}><small>{data.name}</small>{data.text}</li>
        ))}
      </ol>
      <p className='typing' aria-live='polite'>{typing !== '' && `${typing} is typing`}</p>
      <Composer
        send={(text) => room.send('say', { text })}
        onType={() => {
          // What is told late is of no use, so it does not wait for a link.
          if (state === 'open') room.send('type', {}, { timeout: 2_000 }).catch(() => undefined)
        }}
      />
    </main>
  )
}

function State (): ReactElement {
  const { state, transport, error } = useConnection()
  const text = state === 'open' ? `Connected by ${transport}` : error ? `${state}: ${error.code}` : state
  return <p className='state' role='status' data-state={state}><span className='dot' aria-hidden='true' />{text}</p>
}

/** The room is the one of the page: it is joined once, however many components use it. */
function Members ({ id }: { readonly id: string }): ReactElement {
  const members = usePresence(chat.at({ id }))
  return (
    <p className='members' aria-label='Here now'>
      <strong>{me}</strong>{members.filter(({ data }) => data.name !== me).map(({ data }) => `, ${data.name}`)}
    </p>
  )
}

function Composer ({ send, onType }: { send (text: string): Promise<unknown>, onType (): void }): ReactElement {
  const [text, setText] = useState('')
  const [fault, setFault] = useState('')
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    setText('')
    // It waits while there is no connection, and is sent once.
    send(text).then(() => { setFault('') }, (error: Error) => {
      setFault(error.message)
      setText((typed) => `${text} ${typed}`.trim())       // a refused message is not lost
    })
  }
  return (
    <form className='composer' onSubmit={submit}>
      <label htmlFor='text' className='visually-hidden'>Message</label>
      <input
        id='text' value={text} required maxLength={2000} autoComplete='off' placeholder='Say something'
        onChange={({ target }) => {
          if (text === '') onType()
          setText(target.value)
        }}
      />
      <button className='primary'>Send</button>
      {fault !== '' && <p className='error' role='alert'>{fault}</p>}
    </form>
  )
}
