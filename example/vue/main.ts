import { createApp } from 'vue'
import { realtimePlugin } from 'fastify-realtime/vue'
import '../public/base.css'
import '../public/small-chat.css'
import Chat from './chat.vue'
import { client } from './client.js'

createApp(Chat, { id: 'lobby' }).use(realtimePlugin, client).mount('#root')
