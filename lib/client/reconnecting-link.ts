import { backoff } from './backoff.js'
import { bytesOf } from './bytes.js'
import { broken, CLOSED, DEAD, LATE, refused, type Refused } from './errors.js'
import { refusal } from './links/http.js'
import type { Dial, Frame, FrameData, Http, Link, LinkEvents, Open, UpFrame } from './links/link.js'
import { polling } from './links/polling.js'
import { sse } from './links/sse.js'
import { websocket } from './links/websocket.js'
import type { Listeners } from './listeners.js'
import { createLiveness } from './liveness.js'
import { here } from './platform.js'
import type { SocketClass } from './socket.js'
import { createTimers, LONGEST, now, type Timers } from './timers.js'
import type { Client, CoreOptions, Transport } from './types.js'

/** Milliseconds after which a link counts as healthy: only then are failures counted from 0 again. */
const HEALTHY = 5_000
/**
 * Former connections that are remembered beside the last one. What left one of them out may come to the client until it
 * has caught up: with links that stand for 5 s each, this one included, 16 of them take more than a minute, and with
 * links that do not, far more, as ever more time passes between them.
 */
const FORMER = 15
/** Milliseconds of random delay where all clients may reconnect at once. */
const JITTER = 1_000
/** Milliseconds of random delay before a link that failed, although the server would accept it, is tried once more. */
const AGAIN = 250
/** Between the client and a server that would accept the link. */
export const BLOCKED = refused('transport_blocked', 'no link', 'backoff')
/** In the order in which they are preferred. */
const OPEN: Readonly<Record<Transport, Open>> = { websocket, sse, polling }

/** The option `token` where it is a function, as code without types may have it: only then it has a `call`. */
type FreshToken = () => Promise<Partial<string> | undefined>

/** What every stream and poll names in its query, and parameters that only the first request carries. */
export type Query = Pick<Dial, 'rooms' | 'first'>

export interface LinkHost {
  query (): Query
  /** Called when a link has opened, before the application is told. */
  up (data: FrameData): void
  /** @param frame that of the welcome, which says the rooms of the link, comes after the application was told */
  frame (frame: Frame): void
  /** Called when the link is gone. */
  down (): void
  /** @returns the room that the reason was about, of which it has been handled */
  refuse (reason: Refused): object | undefined
  say: Listeners['emit']
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
  isUp?: boolean | undefined
  /** Whether the link is a stream or polls: then rooms are named when it opens, and frames go up by POST. */
  isHttp?: boolean
  /** Whether somebody else holds the link to the server. */
  isShared?: boolean
  /** Milliseconds that an answer may take. */
  readonly timeout: number
  /** Those that may be used, in the order in which they are preferred. */
  readonly transports: readonly Transport[]
  /** The credential of the present attempt. */
  token?: string | undefined
  /** Timers that end with the link. */
  readonly after: Timers['after']
  /** Makes a request to a path below the endpoint with the credential, within the timeout where no signal is given. */
  http: Http
  /** Fetches a credential for the present attempt or link, and for none that comes later. */
  authenticate (): Promise<string | undefined>
  /** Gets ready to open a WebSocket. @returns its class, where there is one */
  prepareSocket (): Promise<unknown>
  /** Gets ready to open the next link. @throws why it cannot be opened */
  prepare (): Promise<void>
  open (events: LinkEvents, query: Query): Link
  /**
   * Finds out why a link never opened: a GET of the same URL gives the server's reason. Where the server has none, an
   * intermediary blocks this transport.
   */
  diagnose (): Promise<Refused>
  send (frame: UpFrame): void
  /** Replaces the link by another one at once. */
  relink (): void
  /** Replaces it by one of another transport. @param to its place among them */
  climb (to: number): void
  /** Gives the link up, and reconnects unless the reason is final. */
  lost (reason?: Refused): void
  /** Tells of a change of the network or the page: a pending attempt need not wait, and the link may be dead. */
  wake (isOnline: boolean): void
  /** Opens another link at once, also after the end. */
  reconnect (): void
  /** Closes the connection for good, on behalf of the application. */
  close (): void
}

export function createReconnectingLink (
  url: string,
  {
    token: source, transports = Object.keys(OPEN) as Transport[], timeout: patience = 10_000, signal,
    fetch: ask = globalThis.fetch, WebSocket
  }: CoreOptions,
  host: LinkHost,
  shown: Shown
): ReconnectingLink {
  const base = url.replace(/^ws/, 'http').replace(/\/$/, '')
  const { after, cancel } = createTimers()
  // An abort signal has the same limit.
  const timeout = Math.min(patience, LONGEST)
  let link: Link | undefined
  /** Identity of the present attempt. Results of an earlier attempt arrive too late and are ignored. */
  let turn: object | undefined
  let isDraining: boolean | undefined
  /** The error in the last frame that is no answer, where it was about the whole connection: why the link ends. */
  let final: Refused | undefined
  let Socket: SocketClass
  /** A refusal against which only another credential helps, and the credential that was refused. */
  let spent: { readonly token: string | undefined, readonly reason: Refused } | undefined
  /** The credential with which the last link was opened: that of `line` may have been renewed since. */
  let used: string | undefined
  let transport = 0
  /** Links of this transport in a row that never opened and met no refusal; above 0 the transport counts as blocked. */
  let blocked = -1
  let attempt = 0
  let notBefore = 0
  /** Bytes of a frame that the server takes; nothing is more than `undefined`, where it does not say so. */
  let largest: number | undefined

  // Whoever is told may call anything: what comes after it asks whether the link is still there.
  const become = (state: Client['state']): void => {
    if (shown.state !== state) host.say({ state: shown.state = state }, 'state')
  }
  const http: Http = async (path, init) => await ask(base + path, {
    ...init,
    signal: init?.signal ?? AbortSignal.timeout(timeout),
    headers: {
      ...init?.headers,
      ...(line.token && { authorization: `Bearer ${line.token}` }),
      ...(shown.connectionId && { 'x-connection-id': shown.connectionId })
    }
  })
  const redial = (wait: number): void => { after('dial', wait, dial) }

  const dial = async (): Promise<void> => {
    if (signal?.aborted) return close()
    // A page that is rendered on a server connects once it is in a browser, where the same code runs again.
    if (url[0] === '/') return
    const mine = turn = {}
    const ifMine = <T>(then: (given: T) => unknown) => (given: T): unknown => turn === mine && then(given)
    cancel()
    await line.prepare().catch(ifMine((error?: Refused) => lost(error?.retry ? error : broken(error))))
    if (turn !== mine) return
    try {
      // It may refuse rooms, of which the application is told.
      const query = host.query()
      if (turn !== mine) return
      link = line.open({
        frame: ifMine(receive),
        heard: ifMine<void>(silence.heard),
        closed: ifMine((reason) => lost(final ?? reason))
      }, query)
    } catch (cause) {
      // The platform rejects the URL, or the page may not open such a URL.
      void lost(broken(cause), fall())
    }
  }

  const drop = (): void => {
    turn = {}
    cancel()
    link?.close()
    if (shown.connectionId) line.former = [shown.connectionId, ...line.former?.split(',', FORMER) ?? []].join()
    link = shown.connectionId = final = line.isUp = isDraining = undefined
    host.down()
  }

  const relink = (): void => {
    drop()
    redial(0)
  }

  /**
   * Falls back to the next transport; after the last one, the first follows after a pause.
   *
   * @param to place of another transport
   * @returns the place of the new transport: above 0 it may be tried at once
   */
  const fall = (to = (transport + 1) % transports.length): number => {
    blocked = 0
    return (transport = to)
  }

  /** @param isFallen whether there is another transport that may be tried at once */
  const lost = async (reason?: Refused, isFallen?: boolean | number): Promise<unknown> => {
    // A client that was connected before does not ask the first time that opening takes too long: all clients may be
    // reconnecting at once.
    const isMute = link && !line.isUp && !line.isShared &&
      (!reason || (reason === LATE && (!line.former || ++blocked > 0)))
    const otherwise = isDraining ? 'now' : 'backoff'
    drop()
    const mine = turn
    if (shown.state === 'open') become('reconnecting')
    if (isMute) {
      const asked = line.diagnose().then((found) => {
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
    const { retry = otherwise, retryAfter: least = 0, code }: Partial<Refused> = reason ?? {}
    // Whoever was told of either may have called anything.
    if (reason && host.refuse(reason)) return turn === mine && relink()
    if (turn !== mine) return
    if (retry === 'never' && code !== 'message_too_large') return stop(reason!, false)
    // A failure that a fresh credential may cure is not reported the first time.
    const isQuiet = !reason || retry === 'now' || (retry === 'refresh' && !spent)
    if (retry === 'refresh') spent = { token: used, reason: reason! }
    notBefore = now() + least
    const retryIn = isFallen || line.isShared
      ? 0
      : least + (attempt || retry === 'backoff' ? backoff(attempt) : Math.random() * JITTER)
    attempt++
    redial(retryIn)
    if (!isQuiet) host.fail(reason!, { attempt, retryIn })
  }

  const stop = (reason: Refused, isMeant: boolean): void => {
    if (shown.state === 'closed') return
    drop()
    signal?.removeEventListener('abort', close)
    const mine = turn
    shown.state = 'closed'
    host.over(reason, isMeant)
    if (turn === mine) host.say({ ...!isMeant && reason, state: 'closed' }, 'state')
  }

  const silence = createLiveness(after, timeout / 2, (isProven) => {
    if (!line.isHttp) return send({ type: 'ping' })
    // A stream that opens and stays silent is held back by an intermediary. One that has said more has died, as where
    // the machine slept.
    if (shown.transport === 'sse' && !isProven) fall()
    relink()
  }, () => { void lost(DEAD) })

  /** What is too large is refused here: the server would end a WebSocket for it, and it would be sent again. */
  const send = (frame: UpFrame): void => {
    if (bytesOf(frame) > largest!) {
      receive({ ...frame as Frame, type: 'error', data: refused('message_too_large', `over ${largest} bytes`) })
    } else link?.send(frame)
  }

  const receive = (frame: Frame): void => {
    const { type, id, room, data = {} } = frame
    // The answer to a POST may come behind the last frame of a stream.
    if (!id) {
      final = type === 'error' && !room ? data as Refused : undefined
      if (final) return
    }
    // After a long pause a poll belongs to a new connection.
    if (!room && data?.connectionId) shown.connectionId = data.connectionId
    if (type === 'ping') send({ ...frame, type: 'pong' })
    else if (type === 'drain') isDraining = true
    else {
      if (type === 'welcome') {
        line.isUp = true
        cancel()
        blocked = -1
        spent = undefined
        largest = data.limits?.message
        shown.userId = data.userId || undefined
        after('open', HEALTHY, () => (attempt = 0))
        silence.watch(data.heartbeat!)
        host.up(data)
        become('open')
      }
      host.frame(frame)
    }
  }

  const close = (): void => { stop(CLOSED, true) }
  const line: ReconnectingLink = {
    after,
    http,
    send,
    lost,
    close,
    relink,
    timeout,
    transports,
    async authenticate () {
      try {
        if (!(source as FreshToken | undefined)?.call) return source as string
        const token = await (source as FreshToken)()
        if (token?.trim?.()) return token as string
        const fix = `give a token, not "${token}"`
        throw fix
      } catch (error) {
        throw broken(error, 'token_failed', `token(): ${error}`)
      }
    },
    prepareSocket: async () => WebSocket ?? here.WebSocket,
    async prepare () {
      const mine = turn
      const due = now() + timeout * 2
      // Where the machine slept, it was not the server that took so long.
      after('dial', timeout, () => { void lost(now() > due ? DEAD : LATE) })
      shown.transport = transports[transport]!
      line.isHttp = shown.transport !== 'websocket'
      const token = await line.authenticate()
      // That of an earlier attempt may be older than the one that is in use.
      if (turn !== mine) return
      used = line.token = token
      if (spent && spent.token === used) return stop(spent.reason, false)
      if (line.isHttp) return
      Socket = await line.prepareSocket() as SocketClass
      // Where this platform does not have the transport, there may be another one.
      if (!Socket && turn === mine) {
        if (!fall()) throw BLOCKED
        relink()
      }
    },
    open: (events, query) => OPEN[shown.transport]({ ...line, ...query, base, Socket }, events),
    diagnose: () => line.http('?verdict=1')
      .then((response) => response.status === 200 ? BLOCKED : refusal(response))
      .catch((error) => broken(error, 'unreachable')),
    climb (to) {
      fall(to)
      relink()
    },
    wake (isOnline) {
      if (!link) redial(Math.max(notBefore - now(), Math.random() * JITTER))
      else if (line.isUp) {
        if (!line.isHttp) silence.probe()
        // Nothing can be asked there, and nothing was silent.
        else if (isOnline) relink()
      }
    },
    reconnect () {
      signal?.addEventListener('abort', close)
      spent = undefined
      attempt = 0
      relink()
      if (shown.state === 'closed') become('connecting')
      if (shown.state === 'open') become('reconnecting')
    }
  }
  return line
}
