/* global token, show, add, showTyping, mark */
import { io } from 'socket.io-client'

const socket = io('https://app.example.com', { auth: { token } })
socket.on('connect', () => {
  socket.emit('open', '42', (answer) => { if (answer.error) show(answer.error) })
})
socket.on('connect_error', (error) => { show(error.message) })
socket.on('commented', (comment) => { add(comment) })
socket.on('typing', (by) => { showTyping(by) })
socket.on('joined', (by) => { show(`${by} is here`) })
socket.on('left', (by) => { show(`${by} has left`) })
socket.on('told', ({ text, by }) => { show(`${by}: ${text}`) })
socket.timeout(5_000).emit('comment', '42', 'hello', (error, { id } = {}) => { if (!error) mark(id) })
socket.emit('tell', 'bob', 'hello')
