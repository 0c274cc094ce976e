/* global token, show, add, showTyping, mark */
import { io } from 'socket.io-client'

const socket = io('https://app.example.com', { auth: { token } })
socket.on('connect', () => {
  socket.emit('open', '42', (answer) => { if (answer.error) show(answer.error) })
})
socket.on('commented', (comment) => { add(comment) })
socket.on('typing', (by) => { showTyping(by) })
socket.emit('comment', '42', 'hello', ({ id }) => { mark(id) })
