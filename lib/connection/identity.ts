/** The user of a connection, as authentication found it. */
export interface Identity {
  readonly user: unknown
  readonly userId: string
  /** Unix seconds, as in a JWT; absent when the credential does not expire. */
  readonly exp?: number | undefined
  /** `jti` of the credential. */
  readonly tokenId?: string | undefined
  /** Whether some room was taken from the user, which the adapter is asked about at each entry. */
  readonly hasLost?: boolean
}
