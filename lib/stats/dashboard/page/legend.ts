import { codes } from '../../../protocol/codes.js'
import { h } from './elements.js'
import { LEVEL_WORDS, SIGNS, THRESHOLDS } from './thresholds.js'

type Words = ReadonlyArray<readonly [word: string, meaning: string]>

/** What the columns of the ledger mean, in the order in which an event reaches them. */
export const LEDGER: Words = [
  ['meant', 'an event was offered to a connection; each such pair is in one of the next six'],
  ['delivered', 'handed to the kernel, or written in the answer of a poll'],
  ['resumed', 'handed over in the same way, by replay after a break'],
  ['conflated', 'a newer value of the same key took its place while the reader lagged'],
  ['dropped', 'volatile, and the reader lagged'],
  ['gone', 'it waited when its connection ended'],
  ['queued', 'it waits in an outbox now'],
  ['gaps', 'events lost before they reached this node; not part of the sum']
]

const FIGURES: Words = [
  ['connections', 'open WebSockets, streams and polls; the meter compares the slots that are taken with the capacity'],
  ['users', 'users with a connection; one who is on two nodes counts twice in the view of all nodes'],
  ['rooms', 'rooms with members; one that is on two nodes counts twice in the view of all nodes'],
  ['messages in', 'messages and commands of clients, in a second'],
  ['published', 'events that the application broadcast, in a second, each counted once'],
  ['deliveries', 'events handed to connections, in a second, replays included'],
  ['sent', 'bytes written to clients, in a second'],
  ['event loop delay', 'by how many milliseconds the event loop was late: 99 % of the samples of the last 15 to 30 s were better; in the view of all nodes that of the worst node'],
  ['waiting', 'bytes and frames in outboxes, because their readers are slower than their rooms'],
  ['refusals', 'admissions that were refused before a connection was made, in a second']
]

const CONNECTION: Words = [
  ['transport', 'websocket, sse (a stream), or polling'],
  ['latency', 'round trip of the last heartbeat; streams and polls have none'],
  ['lag', 'bytes that wait in its outbox; beyond limits.outbox it is cut with slow_consumer'],
  ['in, out', 'bytes of its messages, and bytes written to it'],
  ['key', 'names it to admins: its node and a number. Its id is a secret of its client, and shown to nobody']
]

const ENDS: Words = [
  ['left', 'the peer said goodbye'],
  ['gone', 'the peer disappeared without a word, or its stream has reached its age (sse.age) and is opened anew'],
  ['other', 'codes of the application']
]

function section (title: string, words: Words, note?: string): HTMLElement {
  const id = `legend-${title.toLowerCase().replace(/\W+/g, '-')}`
  return h('section', { class: 'panel', 'aria-labelledby': id },
    h('h2', { id }, title),
    note === undefined ? undefined : h('p', { class: 'quiet' }, note),
    h('dl', { class: 'words' }, ...words.flatMap(([word, meaning]) => [h('dt', {}, word), h('dd', {}, meaning)])))
}

/** The page that says what each word of the others means. */
export function legendPage (): HTMLElement {
  const limits: Words = Object.values(THRESHOLDS).map(({ meaning, warn, bad, unit }) =>
    [meaning, `${SIGNS.warn} ${LEVEL_WORDS.warn} from ${warn} ${unit}, ${SIGNS.bad} ${LEVEL_WORDS.bad} from ${bad} ${unit}`] as const)
  const always: Words = [
    [`${SIGNS.bad} always`, 'a node that does not answer, that accepts no connections, or whose adapter is away'],
    [`${SIGNS.warn} always`, 'gaps, connections cut with slow_consumer, messages refused with rate_limited, and events forgotten before their time, in the last minute']
  ]
  const table: Words = Object.entries(codes).map(([code, { message, retry }]) => [code, `${message} (retry: ${retry})`] as const)
  return h('div', { class: 'columns' },
    section('Figures', FIGURES, 'Rates and charts begin when the page is opened. Counters run since the start of a node.'),
    section('Thresholds', [...limits, ...always]),
    section('Ledger', LEDGER, 'meant = delivered + resumed + conflated + dropped + gone + queued'),
    section('Connections', CONNECTION),
    section('Codes', [...table, ...ENDS], 'Of refusals, closes and message errors.'))
}
