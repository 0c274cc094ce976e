import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    rules: {
      'no-void': 'off'
    }
  },
  {
    files: ['example/**/public/*.js'],
    languageOptions: { globals: { location: 'readonly', EventSource: 'readonly', Option: 'readonly' } }
  },
  {
    files: ['lib/**/*.ts'],
    rules: { 'no-console': 'error', '@typescript-eslint/no-explicit-any': 'error' }
  }
]
