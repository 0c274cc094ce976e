import { createSSRApp } from 'vue'
import { renderToString } from 'vue/server-renderer'
import { realtimePlugin } from 'fastify-realtime/vue'
import { client } from '../client.js'
import Page from './page.vue'

const app = () => createSSRApp(Page).use(realtimePlugin, client)
document.getElementById('root').innerHTML = await renderToString(app())
app().mount('#root')
