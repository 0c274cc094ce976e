import jsdoc from 'eslint-plugin-jsdoc'
import neostandard, { plugins, resolveIgnoresFromGitignore } from 'neostandard'

export default [
  { ignores: ['lib/stats/dashboard/built.ts', 'lib/endpoint/client-script/built.ts'] },
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    plugins: { '@stylistic': plugins['@stylistic'] },
    rules: {
      'no-void': 'off',
      '@stylistic/max-len': ['error', {
        code: 120,
        ignoreStrings: true,
        ignoreTemplateLiterals: true,
        ignoreRegExpLiterals: true,
        ignoreUrls: true
      }]
    }
  },
  {
    // The apps of the documentation stand as they are shown there.
    files: ['test/api/*.ts'],
    rules: { '@stylistic/max-len': 'off' }
  },
  {
    files: ['example/**/public/*.js'],
    languageOptions: { globals: { location: 'readonly', EventSource: 'readonly', Option: 'readonly', ResizeObserver: 'readonly' } }
  },
  {
    files: ['lib/**/*.ts'],
    rules: { 'no-console': 'error', '@typescript-eslint/no-explicit-any': 'error' }
  },
  {
    files: ['test/**/*.ts', 'lib/adapters/contract/*.ts'],
    rules: {
      'no-restricted-syntax': ['error', {
        selector: 'CallExpression[callee.property.name=/^(match|notMatch|rejects|throws)$/]:has(> .arguments:nth-child(2):matches(ArrayExpression, :has(ArrayExpression)))',
        message: 'A list may go on behind its pattern: use matchList of test/helpers.'
      }, {
        selector: 'CallExpression[callee.property.name="not"][arguments.1.regex]',
        message: 'A text is never the same as a regular expression: use t.notMatch.'
      }]
    }
  },
  {
    // What an application, a test or an adapter of somebody else is written against.
    files: [
      'lib/types/*.ts', 'lib/contract/types.ts', 'lib/adapters/adapter.ts', 'lib/client/types.ts', 'lib/testing/index.ts',
      'lib/bridge/types.ts', 'lib/views/types.ts', 'lib/react/hooks.ts', 'lib/vue/*.ts'
    ],
    plugins: { jsdoc },
    rules: {
      'jsdoc/require-jsdoc': ['error', {
        publicOnly: true,
        contexts: [
          'TSInterfaceDeclaration', 'TSTypeAliasDeclaration', 'TSInterfaceBody > TSPropertySignature',
          'TSInterfaceBody > TSMethodSignature', 'ExportNamedDeclaration > FunctionDeclaration'
        ]
      }],
      'jsdoc/check-tag-names': ['error', { definedTags: ['default'] }]
    }
  }
]
