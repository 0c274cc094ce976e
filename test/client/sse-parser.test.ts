import t from 'tap'
import { sseParser } from '../../lib/client/sse-parser.js'

const parse = (...pieces: string[]): string[] => {
  const found: string[] = []
  const feed = sseParser((data) => found.push(data))
  for (const piece of pieces) feed(piece)
  return found
}

t.test('a stream gives the same frames however it is cut into pieces', async (t) => {
  const stream =
    'retry: 10\n\n:\n\nid:a\nevent:realtime\ndata:{one}\n\nevent:x\ndata:{two data:\u2028data:{2}}\n\ndata:{three}\n\nretry: 3\n\nid:b\n\n'
  const expected = ['{one}', '{two data:\u2028data:{2}}', '{three}']
  t.same(parse(stream), expected)
  t.same(parse(...stream), expected)
  for (let at = 1; at < stream.length; at++) {
    t.same(parse(stream.slice(0, at), stream.slice(at)), expected, `cut at ${at}`)
  }
})

t.test('an event that was not ended by an empty line is not given', async (t) => {
  t.same(parse('data:{half}\n'), [])
  t.same(parse('data:{ha'), [])
})

t.test('fields whose names only begin with data are not data', async (t) => {
  t.same(parse('database:{}\n\ndata2{}\n\n'), [])
})

t.test('a comment that is a mark of the server is given like data, and any other comment is not', async (t) => {
  const pieces = [':\n\n:{"at":12', '34}\n\ndata:{one}\n\n:a comment\n\nid:x\ndata:{:{9}}\n\n']
  t.same(parse(...pieces), ['{"at":1234}', '{one}', '{:{9}}'])
})
