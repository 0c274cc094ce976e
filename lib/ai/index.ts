export type { ChatItem } from './items.js'
export { pipe, type ChatResult } from './pipe.js'
export {
  createChatTransport, type ChatDefinition, type ChatRequest, type ChatTransportOptions
} from './transport.js'
