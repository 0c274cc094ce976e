import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** The folder of the source, without a slash at its end. */
export const LIB = fileURLToPath(new URL('../../lib', import.meta.url))

/** One import of a file. */
export interface Import {
  readonly target: string
  readonly isType: boolean
  /** Whether it is loaded when the line runs, not with the file. */
  readonly isLater: boolean
}

/** A file of ours by its path below lib, a package by its name. */
function resolve (file: string, specifier: string): string {
  return specifier.startsWith('.')
    ? relative(LIB, join(LIB, dirname(file), specifier)).replace(/\.js$/, '.ts')
    : specifier
}

function importsOf (file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(join(LIB, file), 'utf8'), ts.ScriptTarget.Latest, true)
  const found: Import[] = []
  const add = (specifier: ts.Node, isType: boolean, isLater = false): void => {
    if (ts.isStringLiteral(specifier)) found.push({ target: resolve(file, specifier.text), isType, isLater })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const { importClause } = node
      const named = importClause?.namedBindings
      const isEachType = importClause !== undefined && importClause.name === undefined && named !== undefined &&
        ts.isNamedImports(named) &&
        named.elements.every(({ isTypeOnly }) => isTypeOnly)
      add(node.moduleSpecifier, importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword || isEachType)
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node.moduleSpecifier, node.isTypeOnly)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0]!, false, true)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** All files of lib by their paths below it, in order. */
export const files = readdirSync(LIB, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts')).sort()
/** What each file imports, as its source says. */
export const graph: ReadonlyMap<string, readonly Import[]> = new Map(files.map((file) => [file, importsOf(file)]))

/** Whether an import is a file of ours, not a package. */
export const isOurs = (target: string): boolean => target.endsWith('.ts')

/**
 * What `file` loads at run time, itself included: files of ours and packages.
 *
 * @param isAll whether what is imported when a line runs is counted as well
 */
export function loaded (file: string, isAll = true, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const { target, isType, isLater } of graph.get(file) ?? []) {
    if (!isType && (isAll || !isLater)) loaded(target, isAll, seen)
  }
  return seen
}
