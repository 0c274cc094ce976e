import { copyFile } from 'node:fs/promises'
import { defineConfig } from 'vitepress'
import { linkRepository } from './links.js'
import { sidebar } from './sidebar.js'
import { slugOf } from './slug.js'

export default defineConfig({
  title: 'fastify-realtime',
  description: 'Authenticated real-time rooms for Fastify',
  lang: 'en',
  // Where the site does not lie at the root of its host: DOCS_BASE=/fastify-realtime/ npm run docs:build
  base: process.env.DOCS_BASE ?? '/',
  cleanUrls: true,
  ignoreDeadLinks: false,
  // The reference that typedoc makes is built apart, and not part of the repository.
  srcExclude: ['api/**'],
  markdown: {
    anchor: { slugify: slugOf },
    config: (md) => {
      linkRepository(md)
    }
  },
  buildEnd: async ({ outDir }) => { await copyFile(new URL('../../llms.txt', import.meta.url), `${outDir}/llms.txt`) },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    sidebar: sidebar(),
    nav: [
      { text: 'Tutorial', link: '/tutorial/1-a-room' },
      { text: 'Guides', link: '/guides/traps' },
      { text: 'Reference', link: '/reference/options' }
    ],
    socialLinks: [{ icon: 'github', link: 'https://github.com/fastify-realtime/fastify-realtime' }]
  }
})
