import { readFileSync } from 'node:fs'
import ts from 'typescript'

const file = new URL('../../lib/client/types.ts', import.meta.url)

/** What one option says of itself. */
interface Row { readonly name: string, readonly type: string, readonly value: string, readonly text: string }

/** A row for each option of these interfaces of the client, with its type and its default. */
export function clientTable (...interfaces: string[]): string {
  const source = ts.createSourceFile('types.ts', readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const rows = interfaces.flatMap((name) => {
    const found = source.statements.find((each) => ts.isInterfaceDeclaration(each) && each.name.text === name)
    if (found === undefined) throw new Error(`lib/client/types.ts has no interface ${name}`)
    return (found as ts.InterfaceDeclaration).members.flatMap((member) => rowsOf(member, ''))
  })
  return [
    '| option | type | default | |',
    '|---|---|---|---|',
    ...rows.map(({ name, type, value, text }) => `| \`${name}\` | ${type} | ${value} | ${text} |`)
  ].join('\n')
}

function rowsOf (member: ts.TypeElement, parent: string): Row[] {
  if (!ts.isPropertySignature(member) || member.type === undefined) throw new Error(`${member.getText()} is no option`)
  const name = parent + member.name.getText()
  // An option that is made of options has a row for each of them.
  const inner = ts.isUnionTypeNode(member.type) ? member.type.types.find(ts.isTypeLiteralNode) : member.type
  if (inner !== undefined && ts.isTypeLiteralNode(inner)) return inner.members.flatMap((each) => rowsOf(each, `${name}.`))
  const [comment] = ts.getJSDocCommentsAndTags(member).filter(ts.isJSDoc)
  const value = comment?.tags?.find(({ tagName }) => tagName.text === 'default')
  return [{
    name,
    type: code(member.type.getText()),
    value: value === undefined ? '-' : valueOf(ts.getTextOfJSDocComment(value.comment)),
    text: cell(ts.getTextOfJSDocComment(comment?.comment))
  }]
}

/** A default as the reference writes it: `10_000`. A word of it is code where it is one value, not a sentence. */
function valueOf (text = ''): string {
  if (/^\d+$/.test(text)) return code(Number(text).toLocaleString('en').replaceAll(',', '_'))
  return /^(?:'.*'|\[.*\]|true|false|[a-z]+\.[a-z]+)$/.test(text) ? code(text) : cell(text)
}

function code (text: string): string { return `\`${text.replaceAll('|', '\\|')}\`` }

function cell (text = ''): string { return text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').trim() }
