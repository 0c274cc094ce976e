import { createElement, type ReactElement } from 'react'
import { renderToString } from 'react-dom/server'
import t from 'tap'
import { createSSRApp, defineComponent, h } from 'vue'
import { renderToString as renderVue } from 'vue/server-renderer'
import type { Client } from '../../lib/client/index.js'
import * as react from '../../lib/react/index.js'
import * as vue from '../../lib/vue/index.js'
import { board } from './rooms.js'

const room = board.at({ id: '1' })
/** Can be looked at, and throws at whatever is done with it. */
const untouchable = new Proxy({ state: 'connecting', transport: 'websocket', userId: undefined }, {
  get (client, name) {
    if (['on', 'join', 'close', 'reconnect'].includes(name as string)) throw new Error(`it used ${String(name)}`)
    return Reflect.get(client, name) as unknown
  }
}) as unknown as Client
const EXPECTED = '["joining",[],[],0,{},"connecting"]'

function bare (html: string): string { return html.replaceAll('&quot;', '"').replace(/<.*?>/g, '') }

t.test('React on a server renders what is not known yet, and does nothing with the client', async (t) => {
  const Page = (): ReactElement => {
    const { status, events } = react.useRoom(room, { last: 5 })
    react.useEvent(room, 'said', () => {})
    return createElement('p', {}, JSON.stringify([
      status, events, react.usePresence(room), react.useLatest(room, 'score').size,
      react.useStream(room, 'answer', '1'), react.useConnection().state
    ]))
  }
  const page = createElement(react.RealtimeProvider, { client: untouchable }, createElement(Page))
  t.equal(bare(renderToString(page)), EXPECTED)
})

t.test('Vue on a server does so, too', async (t) => {
  const Page = defineComponent(() => {
    const { status, events } = vue.useRoom(() => room, { last: 5 })
    vue.useEvent(room, 'said', () => {})
    const members = vue.usePresence(room)
    const scores = vue.useLatest(room, 'score')
    const text = vue.useStream(room, 'answer', '1')
    const connection = vue.useConnection()
    return () => h('p', JSON.stringify([
      status.value, events.value, members.value, scores.value.size, text.value, connection.value.state
    ]))
  })
  const app = createSSRApp(Page)
  t.equal(bare(await renderVue(app.use(vue.realtimePlugin, untouchable))), EXPECTED)
})
