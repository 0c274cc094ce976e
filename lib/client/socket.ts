/** The part of the WebSocket interface that the client uses. */
export interface Socket {
  onmessage: ((event: { data: string }) => void) | null
  onclose: ((event: { code: number, reason: string }) => void) | null
  onerror: (() => void) | null
  readonly readyState: number
  send (text: string): void
  close (): void
}
export type SocketClass = new (url: string, protocols: string[]) => Socket
