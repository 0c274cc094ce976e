import type { Retry } from '../protocol/codes.js'
import { backoff } from './backoff.js'
import { checkUrl } from './check.js'
import { findSocket, here } from './platform.js'
import { LATE, NOT_FOUND, refused, type Refused } from './errors.js'
import { refusal } from './links/http.js'
import type { Frame, FrameData, Http, Link, Open, UpFrame } from './links/link.js'
import { polling } from './links/polling.js'
import { sse } from './links/sse.js'
import { websocket } from './links/websocket.js'
import { createLiveness } from './liveness.js'
import { createTimers, LONGEST, now, type Timers } from './timers.js'
import type { Client, ConnectOptions } from './types.js'

/** Milliseconds of a link that make it a good one: only then do failures count from 0 again. */
const HEALTHY = 5_000
/**
 * Milliseconds on a lesser transport until the first one is tried again; twice as long each time that it is in vain.
 */
const UPWARD = 300_000
/** Milliseconds of random delay where all may come back at once. */
const JITTER = 1_000
/**
 * Characters of a token that proxies still take in a header, a third longer by its encoding; beyond, a ticket goes in
 * its place.
 */
const LONG = 6_000
/** Milliseconds of random delay before a link that failed, though the server would take it, is tried once more. */
const AGAIN = 250
const BLOCKED = refused('transport_blocked', 'it never opened', 'backoff')
const OPEN: Readonly<Record<NonNullable<ConnectOptions['transports']>[number], Open>> = { websocket, sse, polling }

export interface LinkHost {
  /** Rooms for the query of streams and polls, and what only the first request says. */
  query (): { readonly rooms: string, readonly first: string }
  /** A link has opened. */
  up (data: FrameData): void
  frame (frame: Frame): void
  /** What was true of the link is true no more. */
  down (reason?: Refused): void
  /** @returns whether it was the refusal of a room, and is dealt with */
  refuse (reason: Refused): boolean
  say (event: string, detail: object): void
  /** Something failed, which the application is told of once. */
  fail (reason: Refused, more?: object): void
  /** The last call. */
  over (reason: Refused, isMeant: boolean): void
}

/** What the application may read at any time; the line keeps it. */
export type Shown = { -readonly [K in 'state' | 'connectionId' | 'userId' | 'transport']: Client[K] }

/** The connection to the server over all its links, one at a time. */
export interface ReconnectingLink {
  /** ids of the connections before this one, the last first, for the server to know us by */
  former: string | undefined
  isUp: boolean
  /** streams and polls: rooms are named when they open, frames go up by POST */
  isHttp: boolean
  /** timers that end with the link */
  readonly after: Timers['after']
  send (frame: UpFrame): void
  /** Another link in place of this one, at once. */
  relink (): void
  /** The link is of no use. */
  lost (reason?: Refused): void
  /** Another link at once, also after the end. */
  reconnect (): void
  /** For good, as the application wishes. */
  close (): void
}

export function createReconnectingLink (
  url: string,
  {
    token: source, transports = [
      'websocket',
      'sse',
      'polling'
    ], timeout: patience = 10_000, signal, fetch: ask = fetch, WebSocket
  }: ConnectOptions,
  host: LinkHost,
  shown: Shown
): ReconnectingLink {
  const base = checkUrl(url, here.location?.href)
  const { after, cancel } = createTimers()
  // Of an abort signal, too.
  const timeout = Math.min(patience, LONGEST)
  let life = new AbortController()
  let link: Link | undefined
  /** what belongs to another turn than this one comes too late */
  let turn: object | undefined
  let isDraining = false
  /** the last frame, where that was an error of the connection as a whole: it says why the link ends */
  let final: Refused | undefined
  let token: string | undefined
  /** a refusal that only another credential helps against, and the one that was refused */
  let spent: { readonly token: string | undefined, readonly reason: Refused } | undefined
  let transport = 0
  /** links of this transport in a row that never opened, without a refusal: above 0 it is taken for blocked */
  let blocked = -1
  let upwardAt = 0
  let upward = UPWARD
  let attempt = 0
  let notBefore = 0

  const become = (state: Client['state'], detail?: object): void => {
    if (shown.state === state) return
    shown.state = state
    host.say('state', { ...detail, state })
  }
  const http: Http = async (path, init) => await ask(base + path, {
    ...init,
    headers: {
      ...init?.headers,
      ...(token && { authorization: `Bearer ${token}` }),
      ...(shown.connectionId && { 'x-connection-id': shown.connectionId })
    }
  })
  const fetchToken = async (): Promise<void> => { token = typeof source === 'function' ? await source() : source }
  /** @throws Refused */
  const fetchTicket = async (): Promise<string | undefined> => {
    const response = await http('/ticket', { method: 'POST' })
    if (!response.ok) throw await refusal(response)
    return (await response.json() as FrameData).ticket
  }
  const redial = (wait: number): void => { after('dial', wait, dial) }

  const dial = async (): Promise<void> => {
    if (signal?.aborted) return close()
    const mine = turn = {}
    const isMine = (): boolean => turn === mine
    cancel()
    after('dial', timeout, () => { void lost(LATE) })
    let ticket: string | undefined
    try {
      await fetchToken()
      if (transports[transport] === 'websocket' && token && token.length > LONG && spent?.token !== token) {
        ticket = await fetchTicket()
      }
    } catch (error) {
      if (isMine()) {
        void lost(error instanceof Error ? refused('unavailable', String(error), 'backoff') : error as Refused)
      }
      return
    }
    try {
      if (transport > 0 && now() >= upwardAt) transport = blocked = 0
      shown.transport = transports[transport]!
      line.isHttp = shown.transport !== 'websocket'
      const Socket = line.isHttp ? undefined : await findSocket(WebSocket).catch(() => null)
      if (!isMine()) return
      // This platform does not have the transport.
      if (Socket === null) return fall() ? relink() : void lost(BLOCKED)
      if (spent && spent.token === token) return stop(spent.reason, false)
      link = OPEN[shown.transport]({ ...host.query(), base, token, ticket, Socket: Socket!, http, timeout }, {
        frame (frame) { if (isMine()) receive(frame) },
        heard () { if (isMine()) silence.heard() },
        closed (reason) { if (isMine()) void lost(final ?? reason) }
      })
    } catch (cause) {
      // The platform does not like the URL, or the page may not open one.
      const reason = { ...refused('unavailable', String(cause), 'backoff'), cause }
      if (!fall()) return void lost(reason)
      host.fail(reason, { attempt, retryIn: 0 })
      relink()
    }
  }

  const drop = (reason?: Refused): void => {
    turn = {}
    cancel()
    link?.close()
    if (shown.connectionId) line.former = [shown.connectionId, ...line.former?.split(',', 3) ?? []].join()
    link = shown.connectionId = final = undefined
    line.isUp = isDraining = false
    host.down(reason)
  }

  const relink = (): void => {
    drop()
    redial(0)
  }

  /**
   * Why a link never opened: the same URL says so by GET. Where it has nothing to say, something between blocks this
   * transport.
   */
  const verdict = async (): Promise<Refused> => {
    const signal = AbortSignal.timeout(timeout)
    const begun = now()
    try {
      const response = await http(`?verdict=1${here.origin ? `&origin=${encodeURIComponent(here.origin)}` : ''}`, {
        signal
      })
      if (response.status !== 200) return await refusal(response)
      if (!('userId' in (await response.json().catch(() => ({})) as object))) return NOT_FOUND
      // A server that is slow to say so is busy.
      return now() - begun > timeout / 2 ? LATE : BLOCKED
    } catch (error) {
      // A page is not told why: what answers when its answer need not be read lacks CORS.
      const isThere = here.location && await ask(base, { mode: 'no-cors', signal }).catch(() => {})
      const { name, cause } = error as { name: string, cause?: { code: string } }
      const code = isThere
        ? 'cors_refused'
        : name === 'TimeoutError' ? 'timeout' : /CERT|SIGN/.test(cause?.code!) ? 'certificate_invalid' : 'unreachable'
      return {
        ...refused(
          code,
          isThere ? `what answers at ${base} lets no page of this origin in, or is no endpoint` : String(error),
          'backoff'
        ),
        cause: error
      }
    }
  }

  /** The next transport in place of this one; from the last, the first again after a pause. */
  const fall = (): boolean => {
    blocked = 0
    if (transport === 0) {
      upwardAt = now() + upward
      upward *= 2
    }
    transport = (transport + 1) % transports.length
    return transport > 0
  }

  const lost = async (reason?: Refused): Promise<void> => {
    // Who has been here before does not ask at the first time that it takes too long: all may be coming back at once.
    const isMute = link && !line.isUp && (!reason || (reason === LATE && (!line.former || ++blocked > 0)))
    let retry: Retry = isDraining ? 'now' : 'backoff'
    let isFallen = false
    drop(reason)
    const mine = turn
    if (shown.state === 'open') become('reconnecting')
    if (isMute) {
      const asked = verdict().then((found) => {
        if (turn !== mine) return found
        if (found !== BLOCKED) blocked = -1
        // What stayed silent was waited for long enough.
        else if ((blocked += reason && !line.former ? 2 : 1) > 0) isFallen = fall()
        return found
      })
      reason ??= await asked
      if (turn !== mine) return
      // A server that was about to start fails an upgrade and then says that it takes it: whether it does, a second one
      // tells.
      if (reason === BLOCKED && !isFallen && !attempt) return redial(Math.random() * AGAIN)
    }
    // With another credential it may never have been a failure.
    let isQuiet = !reason
    if (reason) {
      retry = reason.retry
      if (host.refuse(reason)) return relink()
      if (retry === 'never' && reason.code !== 'message_too_large') return stop(reason, false)
      isQuiet = retry === 'now' || (retry === 'refresh' && !spent)
      if (retry === 'refresh') spent = { token, reason }
    }
    const least = reason?.retryAfter ?? 0
    notBefore = now() + least
    const retryIn = isFallen
      ? 0
      : least + (attempt === 0 && retry !== 'backoff' ? Math.random() * JITTER : backoff(attempt))
    attempt++
    redial(retryIn)
    if (!isQuiet) host.fail(reason!, { attempt, retryIn })
  }

  const stop = (reason: Refused, isMeant: boolean): void => {
    if (shown.state === 'closed') return
    drop()
    life.abort()
    host.over(reason, isMeant)
    become('closed', isMeant ? {} : reason)
  }

  const silence = createLiveness(after, () => {
    if (!line.isHttp) return send({ type: 'ping' })
    // A stream that opens and stays silent is held back by something between.
    if (shown.transport === 'sse') fall()
    relink()
  }, () => { void lost(refused('heartbeat_timeout', 'the server is silent', 'now')) })

  /** The platform says that something has changed: what waits need not wait, what stands may be dead. */
  const wake = ({ type }: { type: string }): void => {
    if (here.navigator?.onLine === false || here.document?.hidden) return
    if (!link) redial(Math.max(notBefore - now(), Math.random() * JITTER))
    else if (line.isUp && (type === 'online' || !line.isHttp)) silence.probe()
  }

  /**
   * A fresh credential in good time, by ticket where the link can stay. By a clock that is wrong it is not asked for:
   * the server's close tells.
   */
  const renewal = (expires = 0): void => {
    const left = expires - Date.now()
    if (left <= 0 || typeof source === 'string') return
    after('renew', Math.max(JITTER, left * 0.75), () => {
      if (line.isHttp) return relink()
      const mine = turn
      void (async () => {
        // In vain, it is tried again until the server ends the link.
        after('renew', timeout, () => { renewal(expires) })
        await fetchToken()
        const ticket = await fetchTicket()
        if (turn === mine) send({ type: 'auth', id: 'auth', data: { ticket } })
      })().catch(() => {})
    })
  }

  const send = (frame: UpFrame): void => { link?.send(frame) }

  const receive = (frame: Frame): void => {
    const { type, id, room, data = {} } = frame
    final = type === 'error' && !room && !id ? data as Refused : undefined
    if (final) return
    if (type === 'ping') send({ ...frame, type: 'pong' })
    else if (type === 'drain') isDraining = true
    else if (id === 'auth' && type === 'ack') renewal(data.expires)
    else if (type === 'welcome') {
      line.isUp = true
      cancel()
      blocked = -1
      spent = undefined
      shown.connectionId = data.connectionId
      shown.userId = data.userId || undefined
      after('healthy', HEALTHY, () => { attempt = 0 })
      if (transport > 0) after('upward', upwardAt - now(), relink)
      else upward = UPWARD
      silence.watch(data.heartbeat! + timeout / 2, timeout / 2)
      renewal(data.expires)
      become('open')
      host.up(data)
    } else {
      // A poll after a long pause is of another connection.
      if (!room) shown.connectionId = data.connectionId ?? shown.connectionId
      host.frame(frame)
    }
  }

  const close = (): void => { stop(refused('closed', 'the client was closed'), true) }
  const reconnect = (): void => {
    life.abort()
    life = new AbortController()
    // Each of them may be the first to tell of a change.
    for (const type of ['online', 'offline']) here.addEventListener?.(type, wake, life)
    here.document?.addEventListener?.('visibilitychange', wake, life)
    signal?.addEventListener('abort', close, life)
    spent = undefined
    attempt = 0
    if (shown.state === 'open') become('reconnecting')
    if (shown.state === 'closed') become('connecting')
    relink()
  }
  const line: ReconnectingLink = {
    former: undefined,
    isUp: false,
    isHttp: false,
    after,
    send,
    relink,
    lost,
    reconnect,
    close
  }
  reconnect()
  return line
}
