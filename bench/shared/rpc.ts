export interface Request { readonly id: number | undefined, readonly method: string, readonly argument: unknown }
export interface Response { readonly id: number, readonly result?: unknown, readonly error?: string }

/** Answers the parent's requests, and ends with it. */
export function serve (api: object): void {
  const methods = api as Record<string, (argument: unknown) => unknown>
  process.on('disconnect', () => { process.exit() })
  process.on('message', (request: Request) => {
    const { id, method, argument } = request
    const respond = (response: Omit<Response, 'id'>): void => {
      if (id !== undefined) process.send!({ id, ...response })
    }
    Promise.resolve().then(() => methods[method]!(argument)).then(
      (result) => { respond({ result }) },
      (error: unknown) => { respond({ error: error instanceof Error ? error.message : String(error) }) }
    )
  })
}
