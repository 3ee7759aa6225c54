// The page: which screen is shown, who is logged in, light or dark, in which language.

import { html, nothing, render } from './vendor/lit-html.js'
import { begin, end, resume, session } from './api.js'
import * as one from './instance.js'
import { group, groups, audit, openAudit, openGroup, openGroups } from './groups.js'
import { isStale, live, stop, watch } from './live.js'
import { overview } from './overview.js'
import { openTopic, openTopics, topic, topics } from './topics.js'
import { language, otherLanguage, remember, remembered, t } from './words.js'

const SCREENS = { '': overview, instance: one.instance, topics, topic, groups, group, audit }
let screen = ''
let known = null
let wrong = null
let drawing = false

const theme = remembered('theme')
if (theme) document.documentElement.dataset.theme = theme

function redraw() {
  if (drawing) return
  drawing = true
  requestAnimationFrame(() => {
    drawing = false
    render(whole(), document.getElementById('app'))
    if (known && screen === 'instance') one.drawn()
    document.title = [t('title'), known ? decodeURIComponent(location.hash.split('/')[2] ?? '') : ''].filter(Boolean).join(' · ')
  })
}

function whole() {
  if (known === null) return html`<main class="login"><p class="muted">${t('loading')}</p>${wrong ? html`<p class="notice bad" role="alert">${wrong}</p>` : nothing}</main>`
  if (known === false) return loginScreen()
  const link = (to, word) => html`<a href="#/${to}" aria-current=${isIn(to) ? 'page' : 'false'}>${t(word)}</a>`
  const phase = live.process?.phase
  return html`
    <a class="skip" href="#main" @click=${(event) => { event.preventDefault(); document.getElementById('main').focus() }}>${t('skip')}</a>
    <nav aria-label="sluice"><a class="brand" href="#/"><img src="/page/icon.svg" alt="" width="24" height="24"> sluice</a>
      ${link('', 'overview')}${link('topics', 'topics')}${link('groups', 'groups')}${link('audit', 'audit')}
      <span class="end">${session?.user ? html`<span class="muted">${session.user}</span>` : nothing}
        <button class="plain" lang=${language() === 'zh' ? 'en' : 'zh'} @click=${() => { otherLanguage(); redraw() }}>${t('language')}</button>
        <button class="plain" aria-label=${t('theme')} title=${t('theme')} @click=${otherTheme}>◐</button>
        <button class="plain" @click=${logOut}>${t('logout')}</button></span></nav>
    ${isStale() ? html`<p class="banner" role="alert">${t('silent')}</p>` : phase === 'starting' || phase === 'draining' ? html`<p class="banner" role="status">${t(`phase_${phase}`)}</p>` : nothing}
    <main id="main" tabindex="-1" class=${isStale() ? 'stale' : ''}>${SCREENS[screen](redraw)}</main>`
}

const isIn = (to) => screen === to || (to === '' && screen === 'instance') || (to === 'topics' && screen === 'topic') || (to === 'groups' && screen === 'group')

function loginScreen() {
  const send = async (event) => {
    event.preventDefault()
    const form = new FormData(event.target)
    await logIn({ user: form.get('user').trim(), password: form.get('password') })
  }
  return html`<main class="login" id="main">
    <h1><img src="/page/icon.svg" alt="" width="32" height="32"> sluice</h1>
    ${wrong ? html`<p class="notice bad" role="alert">${wrong}</p>` : nothing}
    <form @submit=${send}>
      <label>${t('user')} <input name="user" required autocomplete="username" autocapitalize="none"></label>
      <label>${t('password')} <input name="password" type="password" required autocomplete="current-password"></label>
      <button class="main">${t('login')}</button>
    </form>
    <p class="muted">${t('loginHint')}</p><p><code>bin/sluice login</code></p>
    <p class="muted">${t('noUser')}</p><p><code>bin/sluice user add</code></p>
    <p><button class="plain" @click=${() => { otherLanguage(); redraw() }}>${t('language')}</button></p>
  </main>`
}

async function logIn(how) {
  try {
    await begin(how)
    wrong = null
    known = true
    enter()
  } catch (error) {
    known = false
    wrong = error.message || t('silent')
  }
  redraw()
}

async function logOut() {
  stop()
  one.close()
  await end()
  known = false
  live.instances.clear()
  redraw()
}

function otherTheme() {
  const root = document.documentElement
  const now = root.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
  root.dataset.theme = now === 'dark' ? 'light' : 'dark'
  remember('theme', root.dataset.theme)
  redraw()
}

function go() {
  const [, first = '', second = ''] = location.hash.split('/')
  const name = decodeURIComponent(second)
  one.close()
  screen = Object.hasOwn(SCREENS, first) ? first : ''
  if (screen === 'instance') one.open(name, redraw)
  if (screen === 'topics') openTopics(redraw)
  if (screen === 'topic') openTopic(name, redraw)
  if (screen === 'groups') openGroups(redraw)
  if (screen === 'group') openGroup(name, redraw)
  if (screen === 'audit') openAudit(redraw)
  redraw()
}

// Logged in: the screen that the address names, and what changes by itself.
function enter() {
  watch(redraw, async () => {
    // Closed for good: the session is over, or the process is.
    try {
      known = (await resume()) !== null
      if (known) setTimeout(enter, 2000)
    } catch {
      setTimeout(enter, 2000)
    }
    redraw()
  })
  go()
}

async function load() {
  const link = /^#link=([0-9a-f]+)$/.exec(location.hash)
  if (link) {
    history.replaceState(null, '', '/')
    await logIn({ link: link[1] })
    return
  }
  try {
    known = (await resume()) !== null
    wrong = null
    if (known) enter()
  } catch (error) {
    wrong = error.message || t('silent')
    setTimeout(load, 2000)
  }
  redraw()
}

addEventListener('hashchange', () => {
  if (location.hash.startsWith('#link=')) load()
  else if (known) {
    go()
    document.getElementById('main')?.focus()
  }
})
addEventListener('resize', redraw)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw)
load()
redraw()
