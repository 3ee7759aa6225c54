// Topics: what there is, and one of them with its partitions, messages and settings.

import { html, nothing } from './vendor/lit-html.js'
import { ask, get, isAdmin, name } from './api.js'
import { sure } from './dialog.js'
import { bytes, number, time } from './format.js'
import { t } from './words.js'

let all = null
let one = null
let error = null
let wanted = ''
let internal = false
let create = { name: '', partitions: '' }

export async function openTopics(redraw) {
  all = null
  error = null
  await load(redraw, async () => { all = (await get('/topics')).topics })
}

async function load(redraw, work) {
  try {
    await work()
    error = null
  } catch (reason) {
    error = reason.message || t('silent')
  }
  redraw()
}

const failed = () => (error ? html`<p class="notice bad" role="alert">${error}</p>` : nothing)

export function topics(redraw) {
  const shown = (all ?? []).filter((one) => one.name.includes(wanted) && (internal || !one.is_internal))
  const make = async (event) => {
    event.preventDefault()
    const partitions = create.partitions ? Number(create.partitions) : undefined
    await load(redraw, async () => {
      await ask('POST', '/topics', { name: create.name, partitions })
      create = { name: '', partitions: '' }
      all = (await get('/topics')).topics
    })
  }
  return html`
    <header class="head"><h1>${t('topics')}</h1>
      <input type="search" aria-label=${t('find')} placeholder=${t('find')} .value=${wanted} @input=${(event) => { wanted = event.target.value; redraw() }}>
      <label class="check"><input type="checkbox" .checked=${internal} @change=${(event) => { internal = event.target.checked; redraw() }}> ${t('internal')}</label>
    </header>
    ${failed()}
    ${all === null && !error ? html`<p class="muted">${t('loading')}</p>` : html`<section class="card"><div class="scroll" tabindex="0" role="region" aria-label=${t('topics')}><table>
      <thead><tr><th>${t('topic')}</th><th class="n">${t('partitions')}</th><th class="n">${t('messages')}</th><th class="n">${t('size')}</th></tr></thead>
      <tbody>${shown.slice(0, 500).map((one) => html`<tr><td><a href="#/topic/${name(one.name)}">${one.name}</a></td><td class="n">${number(one.partitions)}</td><td class="n">${number(one.messages)}</td><td class="n">${bytes(one.bytes)}</td></tr>`)}</tbody>
    </table></div></section>`}
    ${isAdmin() ? html`<section class="card"><h2>${t('createTopic')}</h2><form class="row" @submit=${make}>
      <label>${t('nameWord')} <input required pattern="[a-zA-Z0-9._\\-]+" .value=${create.name} @input=${(event) => { create.name = event.target.value.trim() }}></label>
      <label>${t('partitions')} <input inputmode="numeric" pattern="[0-9]*" .value=${create.partitions} @input=${(event) => { create.partitions = event.target.value }}></label>
      <button>${t('create')}</button></form></section>` : nothing}`
}

export async function openTopic(topic, redraw) {
  one = { topic, about: null, messages: null, is_cut: false, from: 'newest', offset: '', time: '', partition: '' }
  error = null
  await load(redraw, async () => { one.about = await get(`/topics/${name(topic)}`) })
  if (!error) await show(redraw)
}

async function show(redraw) {
  const mine = one
  const query = new URLSearchParams({ from: mine.from, limit: '50' })
  if (mine.from === 'offset') query.set('offset', mine.offset || '0')
  if (mine.from === 'time') query.set('time_ms', String(new Date(mine.time || Date.now()).getTime()))
  if (mine.partition !== '' || mine.from === 'offset') query.set('partition', mine.partition || '0')
  await load(redraw, async () => Object.assign(mine, await get(`/topics/${name(mine.topic)}/messages?${query}`)))
}

const text = (bytes) => (bytes === null ? '–' : bytes.text ?? `base64: ${bytes.base64}`)

function pretty(bytes) {
  if (bytes?.text === undefined) return text(bytes)
  try {
    return JSON.stringify(JSON.parse(bytes.text), null, 1)
  } catch {
    return bytes.text
  }
}

// What kind of change a message is, where it is one.
function kind(bytes) {
  try {
    const { type, database, table, data } = JSON.parse(bytes.text)
    if (!type || !table) return ''
    return `${type} ${database}.${table}${Array.isArray(data) ? ` · ${t('rows', number(data.length))}` : ''}`
  } catch {
    return ''
  }
}

export function topic(redraw) {
  if (!one.about) return html`${failed()}${error ? nothing : html`<p class="muted">${t('loading')}</p>`}`
  const { about, messages } = one
  const remove = async () => {
    if (!(await sure(t('deleteTopicAsk', one.topic), t('delete')))) return
    await load(redraw, () => ask('DELETE', `/topics/${name(one.topic)}`))
    if (!error) location.hash = '#/topics'
  }
  const set = (what) => (event) => { one[what] = event.target.value; redraw() }
  return html`
    <p class="crumb"><a href="#/topics">← ${t('topics')}</a></p>
    <header class="head"><h1>${about.name}</h1>
      ${isAdmin() && !about.name.startsWith('__') ? html`<span class="buttons"><button class="danger" @click=${remove}>${t('delete')}</button></span>` : nothing}</header>
    ${failed()}
    <section class="card"><h2>${t('messages')}</h2>
      <form class="row" @submit=${(event) => { event.preventDefault(); show(redraw) }}>
        <label>${t('begins')} <select .value=${one.from} @change=${set('from')}>
          ${['newest', 'earliest', 'offset', 'time'].map((from) => html`<option value=${from}>${t({ offset: 'fromOffset', time: 'fromTime' }[from] ?? from)}</option>`)}</select></label>
        ${one.from === 'offset' ? html`<label>${t('offset')} <input inputmode="numeric" pattern="[0-9]*" .value=${one.offset} @input=${set('offset')}></label>` : nothing}
        ${one.from === 'time' ? html`<label>${t('time')} <input type="datetime-local" .value=${one.time} @input=${set('time')}></label>` : nothing}
        <label>${t('partition')} <select .value=${one.partition} @change=${set('partition')}><option value="">*</option>${about.partitions.map(({ partition }) => html`<option value=${partition}>${partition}</option>`)}</select></label>
        <button>${t('show')}</button>
      </form>
      ${messages === null ? html`<p class="muted">${t('loading')}</p>` : messages.length === 0 ? html`<p class="muted">${t('noMessages')}</p>` : html`
        ${[...messages].reverse().map((one) => html`<details class="message"><summary><code>${one.partition}:${one.offset}</code> <span class="muted">${time(one.time_ms)}</span> <strong>${kind(one.value)}</strong> <span class="line">${text(one.value).slice(0, 300)}</span></summary>
          <dl>${one.key ? html`<dt>${t('key')}</dt><dd><code class="wrap">${text(one.key)}</code></dd>` : nothing}
          <dt>${t('headers')}</dt><dd>${one.headers.map((header) => html`<code>${header.name}=${text(header.value)}</code> `)}</dd></dl>
          <pre tabindex="0">${pretty(one.value)}</pre></details>`)}
        ${one.is_cut ? html`<p class="muted">${t('cut')}</p>` : nothing}`}
    </section>
    <section class="card"><h2>${t('partitions')}</h2><div class="scroll" tabindex="0" role="region" aria-label=${t('partitions')}><table>
      <thead><tr><th class="n">${t('partition')}</th><th class="n">${t('leader')}</th><th class="n">${t('earliest')}</th><th class="n">${t('end')}</th><th class="n">${t('size')}</th></tr></thead>
      <tbody>${about.partitions.map((part) => html`<tr><td class="n">${part.partition}</td><td class="n">${part.leader}</td><td class="n">${number(part.start)}</td><td class="n">${number(part.end)}</td><td class="n">${bytes(part.bytes)}</td></tr>`)}</tbody>
    </table></div></section>
    <section class="card"><h2>${t('settings')}</h2><div class="scroll" tabindex="0" role="region" aria-label=${t('settings')}><table>
      <thead><tr><th>${t('settingName')}</th><th>${t('value')}</th><th></th></tr></thead>
      <tbody>${about.settings.map((one) => html`<tr><td><code>${one.name}</code></td><td><code class="wrap">${one.value ?? '•••'}</code></td><td>${one.is_own ? html`<span class="chip">${t('own')}</span>` : nothing}</td></tr>`)}</tbody>
    </table></div></section>`
}
