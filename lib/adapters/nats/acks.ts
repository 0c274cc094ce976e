import type { JetStreamManager, PubAck } from '@nats-io/jetstream'

/** The header in which a message carries its id. */
const MESSAGE_ID = 'Nats-Msg-Id'

/**
 * Says whether a stream holds a message that a server has called a duplicate. In a cluster the leader answers so as
 * soon as it has seen the id, before the servers have agreed on the message: a leader that stood still, and has not
 * noticed that another one leads, does it for messages that are in no stream.
 *
 * @param ack the answer that said `duplicate`
 * @returns false where the message was never accepted, so that it has to be sent again
 */
export async function isKept (
  { streams }: JetStreamManager,
  { stream, seq }: Pick<PubAck, 'stream' | 'seq'>,
  msgID: string | undefined
): Promise<boolean> {
  // A message that is still in process has no number yet.
  if (seq === 0) return false
  const kept = await streams.getMessage(stream, { seq })
  if (kept !== null) return kept.header.get(MESSAGE_ID) === msgID
  // The message may have been trimmed since, or replaced by a newer value of its subject.
  const { state } = await streams.info(stream)
  return state.last_seq >= seq
}
