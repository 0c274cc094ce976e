/** What is printed when all is up: where things are, and what to try. */
export function advice (
  url: string,
  redis: string,
  nodes: ReadonlyArray<{ readonly address: string, readonly pid: number }>
): string {
  const auth = '-H "authorization: Bearer $TOKEN"'
  return `
nginx  ${url}  (round robin, no sticky sessions)
${nodes.map(({ address, pid }) => `node   http://${address}  pid ${pid}`).join('\n')}
redis  ${redis}

In another terminal:

  TOKEN=$(curl -s -X POST ${url}/token/ada)

A stream; leave it open. The header x-node says which node it is on:

  curl -isN ${auth} -H 'accept: text/event-stream' ${url}/ws/chat/lobby

In a third, with the same TOKEN, a few times. The nodes take turns, the stream gets every event once:

  curl -s ${auth} -H 'content-type: application/json' -d '{"text":"hello"}' ${url}/rooms/lobby

End the stream, publish, and open it again after the last id that it printed; another node sends what was missed:

  curl -isN ${auth} -H 'accept: text/event-stream' -H 'last-event-id: <id>' ${url}/ws/chat/lobby

The same by polls: the first gives a cursor, each next one goes on from it, on whichever node:

  curl -is ${auth} ${url}/ws/chat/lobby
  curl -is ${auth} "${url}/ws/chat/lobby?since=<cursor>"

Kill a node (kill -9 ${nodes[0]!.pid}): its streams end and resume on the other, everything else goes on.
Ctrl-C stops all and leaves nothing behind.
`
}
