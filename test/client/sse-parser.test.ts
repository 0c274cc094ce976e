import t from 'tap'
import { sseParser } from '../../lib/client/sse-parser.js'

const parse = (...pieces: string[]): string[] => {
  const found: string[] = []
  const feed = sseParser((data) => found.push(data))
  for (const piece of pieces) feed(piece)
  return found
}

t.test('a stream gives the same events however it is cut into pieces', async (t) => {
  const stream =
    ':\n\nretry: 10\n\nid: a\ndata: one\n\ndata: two\r\n\r\ndata: three\rdata: lines\r\rdata:\n\nevent: x\n\ndata\n\ndata:four\n\n'
  const expected = ['one', 'two', 'three\nlines', '', '', 'four']
  t.same(parse(stream), expected)
  t.same(parse(...stream), expected)
  for (let at = 1; at < stream.length; at++) {
    t.same(parse(stream.slice(0, at), stream.slice(at)), expected, `cut at ${at}`)
  }
})

t.test('an event that was not ended by an empty line is not given', async (t) => {
  t.same(parse('data: half\n'), [])
  t.same(parse('data: ha'), [])
})

t.test('the fields of an event stand beside its data, and are not those of the event before', async (t) => {
  const found: unknown[] = []
  const feed = sseParser((data, { id, event }) => found.push([data, id, event]))
  feed('id: a\nevent: realtime\ndata: one\n\nid:b: c\n: a comment\ndata: two\n\nid: c\n\ndata: three\n\n')
  t.same(found, [['one', 'a', 'realtime'], ['two', 'b: c', undefined], ['three', undefined, undefined]])
})

t.test('fields whose names only begin with data are not data', async (t) => {
  t.same(parse('database: x\n\ndata2\n\n'), [])
})
