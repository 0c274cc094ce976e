import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

/**
 * Everything in which this package keeps more than one thing for longer than a call stands in the table of SECURITY.md
 * with its bound: a collection that nobody has thought about is found here, by what the source says.
 */
const LIB = fileURLToPath(new URL('../../lib', import.meta.url))
const SECURITY = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8')

const COLLECTION = /^(?:Map|Set|WeakMap|WeakSet|ShardedMap|LinkedList|ExpiringMap|OrderedMap|DeadlineQueue|Remembered|NamedSet)$/
const CHANGES: ReadonlySet<string> = new Set(['set', 'add', 'push', 'unshift', 'delete', 'splice'])
/** Functions that change the collection which they are given first. */
const CHANGERS: ReadonlySet<string> = new Set(['setNewest'])

/** Whether a type says that it holds several things which may change: `readonly` ones are made once. */
function isKeeping (type: ts.TypeNode): boolean {
  if (ts.isUnionTypeNode(type)) return type.types.some(isKeeping)
  if (ts.isArrayTypeNode(type)) return true
  return ts.isTypeReferenceNode(type) && ts.isIdentifier(type.typeName) &&
    (type.typeName.text === 'Array' || COLLECTION.test(type.typeName.text))
}

function isMade (value: ts.Expression | undefined): boolean {
  if (value === undefined) return false
  if (ts.isArrayLiteralExpression(value)) return true
  if (ts.isCallExpression(value)) return value.expression.getText() === 'Array.from'
  return ts.isNewExpression(value) && ts.isIdentifier(value.expression) && COLLECTION.test(value.expression.text)
}

function isOurs (type: ts.TypeNode | undefined, value: ts.Expression | undefined): boolean {
  return type === undefined ? isMade(value) : isKeeping(type)
}

/** Where a name is used to change what it holds, or assigned anew. */
function changesOf (scope: ts.Node, name: string): ts.Node[] {
  const found: ts.Node[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && node.expression.getText() === name && CHANGES.has(node.name.text)) {
      found.push(node)
    }
    if (ts.isCallExpression(node) && CHANGERS.has(node.expression.getText()) && node.arguments[0]?.getText() === name) {
      found.push(node)
    }
    if (ts.isBinaryExpression(node) && node.operatorToken.kind >= ts.SyntaxKind.FirstAssignment &&
      node.operatorToken.kind <= ts.SyntaxKind.LastAssignment &&
      node.left.getText() === name) {
      found.push(node)
    }
    ts.forEachChild(node, visit)
  }
  visit(scope)
  return found
}

function isFunction (node: ts.Node): node is ts.FunctionLikeDeclaration {
  return ts.isFunctionDeclaration(node) || ts.isFunctionExpression(node) || ts.isArrowFunction(node) ||
    ts.isMethodDeclaration(node)
}

/**
 * A variable of a function that makes something of functions lives as long as these: it is changed by one that is
 * called later.
 */
function isClosedOver (owner: ts.FunctionDeclaration, name: string): boolean {
  return changesOf(owner, name).some((change) => {
    for (let node = change; node !== owner; node = node.parent) {
      // The callback of a call ends with the call.
      if (isFunction(node) && !ts.isCallExpression(node.parent)) return true
    }
    return false
  })
}

function variablesOf (statement: ts.Node): readonly ts.VariableDeclaration[] {
  return ts.isVariableStatement(statement) ? statement.declarationList.declarations : []
}

function collectionsOf (file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(LIB, file), 'utf8'), ts.ScriptTarget.Latest, true)
  const found: string[] = []
  for (const statement of source.statements) {
    for (const { name, type, initializer } of variablesOf(statement)) {
      if (isOurs(type, initializer) && changesOf(source, name.getText()).length > 0) {
        found.push(`${file.replace(/^.*\//, '').replace('.ts', '')}.${name.getText()}`)
      }
    }
    if (ts.isFunctionDeclaration(statement) && statement.body !== undefined) {
      for (const { name, type, initializer } of statement.body.statements.flatMap(variablesOf)) {
        if (isOurs(type, initializer) && isClosedOver(statement, name.getText())) {
          found.push(`${statement.name!.text}.${name.getText()}`)
        }
      }
    }
    if (!ts.isClassDeclaration(statement)) continue
    for (const member of statement.members) {
      if (ts.isPropertyDeclaration(member) && isOurs(member.type, member.initializer)) {
        found.push(`${statement.name!.text}.${member.name.getText()}`)
      }
    }
  }
  return found
}

const files = readdirSync(LIB, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts')).sort()
const found = files.flatMap(collectionsOf)

/** `Class.#field`, `factory.variable` or `file.variable`, as the second column names them. */
const rows = SECURITY.slice(SECURITY.indexOf('## What is kept')).split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| what | where |'))
  .map((line) => line.slice(1, -1).split(' | ').map((cell) => cell.trim()))
const named = rows.flatMap(([, where = '']) => [...where.matchAll(/`([A-Za-z-]+\.#?\w+)`/g)].map(([, name]) => name!))

t.test(
  'the collections were read: fields, variables of a module, and of a function that makes functions',
  async (t) => {
    for (const name of [
      'Hub.#rooms',
      'EventLog.#chunks',
      'Connection.#owed',
      'prefix.prefixes',
      'followOpenSockets.sockets',
      'createQueue.waiting'
    ]) {
      t.ok(found.includes(name), name)
    }
    t.notOk(found.includes('protocol.RETRIES'))
  }
)

t.test('every collection that outlives a call stands in the table of SECURITY.md with its bound', async (t) => {
  t.same(found.filter((name) => !named.includes(name)), [])
})

t.test('the table names nothing twice, and nothing that is not there', async (t) => {
  t.same(named.filter((name) => !found.includes(name)), [])
  t.same(named.filter((name, index) => named.indexOf(name) !== index), [])
  t.same(found.filter((name, index) => found.indexOf(name) !== index), [], 'two of one name could not be told apart')
})

t.test('each row says for how long, how many, and what happens then', async (t) => {
  for (const cells of rows) t.ok(cells.length === 5 && cells.every((cell) => cell !== ''), cells.join(' | '))
})
