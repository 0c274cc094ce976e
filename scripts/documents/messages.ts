import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const LIB = fileURLToPath(new URL('../../lib/', import.meta.url))

/** The text of a message as the source has it, `…` where a value stands; nothing where it is made elsewhere. */
function textOf (node: ts.Node | undefined): string | undefined {
  if (node === undefined) return undefined
  if (ts.isStringLiteralLike(node)) return node.text
  if (ts.isTemplateExpression(node)) {
    return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const [left, right] = [textOf(node.left), textOf(node.right)]
    return left === undefined || right === undefined ? undefined : left + right
  }
  return undefined
}

/**
 * The messages of every error that is thrown for a misuse, by its code, as `new REALTIME_ERR_...(message)` and
 * `misuse(code, message)` have them in the source of the library.
 */
function readMessages (): Map<string, string[]> {
  const found = new Map<string, string[]>()
  const add = (code: string, message: string | undefined): void => {
    // What is a name or a value and nothing else says nothing.
    if (message === undefined || message.replace(/[…\W]/g, '').length < 12) return
    const list = found.get(code) ?? []
    if (!list.includes(message)) found.set(code, [...list, message])
  }
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && node.expression.getText().startsWith('REALTIME_ERR_')) {
      add(node.expression.getText(), textOf(node.arguments?.[0]))
    } else if (ts.isCallExpression(node) && node.expression.getText() === 'misuse') {
      const code = textOf(node.arguments[0])
      if (code?.startsWith('REALTIME_ERR_') === true) add(code, textOf(node.arguments[1]))
    }
    ts.forEachChild(node, visit)
  }
  for (const file of readdirSync(LIB, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.ts')) continue
    visit(ts.createSourceFile(file, readFileSync(LIB + file, 'utf8'), ts.ScriptTarget.Latest, true))
  }
  return found
}

// A page asks for the messages of each code, and to read the whole source takes a second.
let known: Map<string, string[]> | undefined

/** A line for each message of a code. @throws an error where the source has none */
export function messageList (code: string): string {
  known ??= readMessages()
  const all = known.get(code)
  if (all === undefined) throw new Error(`lib/ has no message of ${code}`)
  return all.map((message) => `- \`${message.replaceAll('`', '\'').replaceAll(/\s+/g, ' ')}\``).join('\n')
}
