import type { Client } from 'fastify-realtime/client'
import { album } from './rooms.js'

/** Shows the pictures of an album, and returns what uploads one: `upload(input.files[0])`. */
export async function openAlbum (
  client: Client,
  id: string,
  token: () => Promise<string>,
  show: (url: string) => void
): Promise<(file: Blob) => Promise<void>> {
  const room = client.join(album.at({ id }), { last: 20 })
  room.on('added', ({ data }) => { show(data.url) })
  await room.joined
  return async (file) => {
    const answer = await fetch(`/albums/${encodeURIComponent(id)}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await token()}`,
        'content-type': file.type,
        // The event leaves out this connection, which has the URL by the answer.
        ...client.connectionId === undefined ? {} : { 'x-connection-id': client.connectionId }
      },
      body: file
    })
    if (!answer.ok) throw new Error(`the upload was refused with ${answer.status}`)
    const { url } = await answer.json() as { url: string }
    show(url)
  }
}
