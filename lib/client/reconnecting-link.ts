import type { Retry } from '../protocol/codes.js'
import { backoff } from './backoff.js'
import { checkUrl, misuse } from './check.js'
import { canStream, findSocket, here } from './platform.js'
import { broken, LATE, NOT_FOUND, refused, type Refused } from './errors.js'
import { refusal } from './links/http.js'
import type { Frame, FrameData, Http, Link, LinkEvents, Open, SharedLink, UpFrame } from './links/link.js'
import { polling } from './links/polling.js'
import { sse } from './links/sse.js'
import { websocket } from './links/websocket.js'
import { createLiveness } from './liveness.js'
import { abortAfter, createTimers, LONGEST, now, type Timers } from './timers.js'
import type { Client, ConnectOptions, Transport } from './types.js'

/** Milliseconds after which a link counts as healthy: only then are failures counted from 0 again. */
const HEALTHY = 5_000
/**
 * Milliseconds on a fallback transport until the first one is tried again. They double each time that the attempt
 * fails.
 */
const UPWARD = 300_000
/** Milliseconds of random delay where all clients may reconnect at once. */
const JITTER = 1_000
/**
 * Longest token, in characters, that goes in a header: its encoding makes it a third longer, which proxies still
 * accept. A longer token is exchanged for a ticket.
 */
const LONG = 6_000
/** Milliseconds of random delay before a link that failed, although the server would accept it, is tried once more. */
const AGAIN = 250
const BLOCKED = refused('transport_blocked', 'it never opened', 'backoff')
/** In the order in which they are preferred. */
const OPEN: Readonly<Record<Transport, Open>> = { websocket, sse, polling }

export interface LinkHost {
  /** Rooms for the query of streams and polls, and parameters that only the first request carries. */
  query (): { readonly rooms: string, readonly first: string }
  /** Called when a link has opened. */
  up (data: FrameData): void
  frame (frame: Frame): void
  /** Called when the link is gone. */
  down (reason?: Refused): void
  /** @returns whether the reason was about a room and has been handled */
  refuse (reason: Refused): boolean
  say (event: string, detail: object): void
  /** Reports a failure to the application, once. */
  fail (reason: Refused, more?: object): void
  /** Called last, when the client is closed or refused for good. */
  over (reason: Refused, isMeant: boolean): void
}

/** What the application may read at any time; the reconnecting link keeps it up to date. */
export type Shown = { -readonly [K in 'state' | 'connectionId' | 'userId' | 'transport']: Client[K] }

/** The connection to the server over all its links, of which one exists at a time. */
export interface ReconnectingLink {
  /** Ids of former connections, the last one first, by which the server recognises this client. */
  former?: string
  isUp?: boolean
  /** Whether the link is a stream or polls: then rooms are named when it opens, and frames go up by POST. */
  isHttp?: boolean
  /** Timers that end with the link. */
  readonly after: Timers['after']
  send (frame: UpFrame): void
  /** Replaces the link by another one at once. */
  relink (): void
  /** Gives the link up, and reconnects unless the reason is final. */
  lost (reason?: Refused): void
  /** Opens another link at once, also after the end. */
  reconnect (): void
  /** Closes the connection for good, on behalf of the application. */
  close (): void
}

export function createReconnectingLink (
  url: string,
  {
    token: source, transports: wanted = Object.keys(OPEN) as Transport[], timeout: patience = 10_000, signal,
    fetch: ask = globalThis.fetch, WebSocket
  }: ConnectOptions,
  host: LinkHost,
  shown: Shown,
  shared?: SharedLink
): ReconnectingLink {
  // A page that is rendered on a server connects once it is in a browser, where the same code runs again.
  const isRendered = url.startsWith('/') && !here.location && here.navigator?.product !== 'ReactNative'
  const base = checkUrl(url, isRendered ? 'http://page' : here.location?.href)
  const transports = wanted.filter((name) => name === 'websocket' || (ask && (name === 'polling' || canStream(ask))))
  if (!transports.length || typeof AbortController !== 'function') {
    throw misuse(`this platform lacks what ${wanted} needs: fetch, TextDecoder, streams or AbortController`)
  }
  const { after, cancel } = createTimers()
  // An abort signal has the same limit.
  const timeout = Math.min(patience, LONGEST)
  let life = new AbortController()
  let link: Link | undefined
  /** Identity of the present attempt. Results of an earlier attempt arrive too late and are ignored. */
  let turn: object | undefined
  let isDraining = false
  /** The error in the last frame, where it was about the whole connection: it says why the link ends. */
  let final: Refused | undefined
  let token: string | undefined
  /** A refusal against which only another credential helps, and the credential that was refused. */
  let spent: { readonly token: string | undefined, readonly reason: Refused } | undefined
  let transport = 0
  /** Links of this transport in a row that never opened and met no refusal; above 0 the transport counts as blocked. */
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
    signal: init?.signal ?? abortAfter(timeout),
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
    const events: LinkEvents = {
      frame (frame) { if (isMine()) receive(frame) },
      heard () { if (isMine()) silence.heard() },
      closed (reason) { if (isMine()) void lost(final ?? reason) },
      failed (reason) { if (isMine()) host.fail(reason) }
    }
    cancel()
    if (shared) {
      link = shared.open(events)
      return
    }
    after('dial', timeout, () => { void lost(LATE) })
    if (transport > 0 && now() >= upwardAt) transport = blocked = 0
    shown.transport = transports[transport]!
    line.isHttp = shown.transport !== 'websocket'
    let ticket: string | undefined
    try {
      await fetchToken()
      if (isMine() && spent && spent.token === token) return stop(spent.reason, false)
      if (!line.isHttp && token && token.length > LONG) ticket = await fetchTicket()
    } catch (error) {
      if (isMine()) void lost(error instanceof Error ? broken(error) : error as Refused)
      return
    }
    const Socket = line.isHttp ? undefined : await findSocket(WebSocket).catch(() => null)
    if (!isMine()) return
    // This platform does not have the transport.
    if (Socket === null) return fall() ? relink() : void lost(BLOCKED)
    try {
      link = OPEN[shown.transport]({ ...host.query(), base, token, ticket, Socket: Socket!, http }, events)
    } catch (cause) {
      // The platform rejects the URL, or the page may not open such a URL.
      const reason = broken(cause)
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
   * Finds out why a link never opened: a GET of the same URL gives the server's reason. Where the server has none, an
   * intermediary blocks this transport.
   */
  const verdict = async (): Promise<Refused> => {
    const signal = abortAfter(timeout)
    const begun = now()
    try {
      const response = await http(`?verdict=1${here.origin ? `&origin=${encodeURIComponent(here.origin)}` : ''}`, {
        signal
      })
      if (response.status !== 200) return await refusal(response)
      if (!('userId' in (await response.json().catch(() => ({})) as object))) return NOT_FOUND
      // A server that answers this slowly is busy.
      return now() - begun > timeout / 2 ? LATE : BLOCKED
    } catch (error) {
      // A page does not learn why a request failed. If the URL answers a request whose answer need not be readable,
      // then CORS headers are missing.
      const isThere = here.location && ask && await ask(base, { mode: 'no-cors', signal }).catch(() => {})
      const { cause } = error as { cause?: { code: string } }
      const code = isThere
        ? 'cors_refused'
        : signal.aborted ? 'timeout' : /CERT|SIGN/.test(cause?.code!) ? 'certificate_invalid' : 'unreachable'
      return broken(
        error,
        code,
        isThere ? `what answers at ${base} lets no page of this origin in, or is no endpoint` : undefined
      )
    }
  }

  /**
   * Falls back to the next transport; after the last one, the first follows after a pause.
   *
   * @returns whether the new transport may be tried at once
   */
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
    // A client that was connected before does not ask the first time that opening takes too long: all clients may be
    // reconnecting at once.
    const isMute = !shared && link && !line.isUp && (!reason || (reason === LATE && (!line.former || ++blocked > 0)))
    let retry: Retry = isDraining ? 'now' : 'backoff'
    let isFallen = false
    drop(reason)
    const mine = turn
    if (shown.state === 'open') become('reconnecting')
    if (isMute) {
      const asked = verdict().then((found) => {
        if (turn !== mine) return found
        if (found !== BLOCKED) blocked = -1
        // For a new client, a link that stayed silent for the whole time is proof enough.
        else if ((blocked += reason && !line.former ? 2 : 1) > 0) isFallen = fall()
        return found
      })
      reason ??= await asked
      if (turn !== mine) return
      // A server that is starting fails an upgrade, and then answers that it would accept it. A second upgrade shows
      // whether it does.
      if (reason === BLOCKED && !isFallen && !attempt) return redial(Math.random() * AGAIN)
    }
    // A failure that a fresh credential may cure is not reported the first time.
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
    const retryIn = isFallen || shared
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
    // A stream that opens and stays silent is held back by an intermediary.
    if (shown.transport === 'sse') fall()
    relink()
  }, () => { void lost(refused('heartbeat_timeout', 'the server is silent', 'now')) })

  /** Called when the platform tells of a change: a pending attempt need not wait, and the present link may be dead. */
  const wake = ({ type }: { type: string }): void => {
    if (here.navigator?.onLine === false || here.document?.hidden) return
    if (!link) redial(Math.max(notBefore - now(), Math.random() * JITTER))
    else if (line.isUp && (type === 'online' || !line.isHttp)) silence.probe()
  }

  /**
   * Schedules a fresh credential before the present one expires; where the link can stay, it goes up as a ticket. If
   * the clock of this machine is so wrong that the credential seems expired, nothing is scheduled, and the server's
   * close tells.
   */
  const renewal = (expires = 0): void => {
    const left = expires - Date.now()
    if (left <= 0 || typeof source === 'string') return
    after('renew', Math.max(JITTER, left * 0.75), () => {
      if (line.isHttp) return relink()
      const mine = turn
      void (async () => {
        // Until it succeeds, it is tried again, and at last the server ends the link.
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
      shown.transport = data.transport ?? shown.transport
      after('healthy', HEALTHY, () => { attempt = 0 })
      if (transport > 0) after('upward', upwardAt - now(), relink)
      else upward = UPWARD
      silence.watch(data.heartbeat! + timeout / 2, timeout / 2)
      renewal(data.expires)
      become('open')
      host.up(data)
    } else {
      // After a long pause a poll belongs to a new connection.
      if (!room) shown.connectionId = data?.connectionId ?? shown.connectionId
      host.frame(frame)
    }
  }

  const close = (): void => { stop(refused('closed', 'the client was closed'), true) }
  const reconnect = (): void => {
    if (isRendered) return
    life.abort()
    life = new AbortController()
    // Each of these events may be the first to tell of a change.
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
