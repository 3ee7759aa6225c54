// Consumer groups, one of them with its offsets, and the audit.

import { html, nothing } from './vendor/lit-html.js'
import { ask, get, isAdmin, name } from './api.js'
import { sure } from './dialog.js'
import { number, time } from './format.js'
import { t } from './words.js'

let all = null
let one = null
let entries = null
let error = null

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
const loading = () => (error ? nothing : html`<p class="muted">${t('loading')}</p>`)

export async function openGroups(redraw) {
  all = null
  error = null
  await load(redraw, async () => { all = (await get('/groups')).groups })
}

export function groups() {
  return html`<header class="head"><h1>${t('groups')}</h1></header>${failed()}
    ${all === null ? loading() : all.length === 0 ? html`<p class="empty">${t('noGroups')}</p>` : html`<section class="card"><div class="scroll" tabindex="0" role="region" aria-label=${t('groups')}><table>
      <thead><tr><th>${t('nameWord')}</th><th>${t('state')}</th><th class="n">${t('members')}</th></tr></thead>
      <tbody>${all.map((one) => html`<tr><td><a href="#/group/${name(one.name)}">${one.name}</a></td><td>${one.state}</td><td class="n">${number(one.members)}</td></tr>`)}</tbody>
    </table></div></section>`}`
}

export async function openGroup(group, redraw) {
  one = { group, about: null, to: 'earliest', value: '', tried: null }
  error = null
  await load(redraw, async () => { one.about = await get(`/groups/${name(group)}`) })
}

function target() {
  const { to, value } = one
  if (to === 'offset') return { offset: Number(value) }
  if (to === 'time_ms') return { time_ms: new Date(value).getTime() }
  return to
}

export function group(redraw) {
  if (!one.about) return html`${failed()}${loading()}`
  const { about, tried } = one
  const move = (dry_run) => load(redraw, async () => {
    one.tried = await ask('POST', `/groups/${name(one.group)}/reset`, { to: target(), dry_run })
    if (!dry_run) one.about = await get(`/groups/${name(one.group)}`)
  })
  const remove = async () => {
    if (!(await sure(t('deleteGroupAsk', one.group), t('delete')))) return
    await load(redraw, () => ask('DELETE', `/groups/${name(one.group)}`))
    if (!error) location.hash = '#/groups'
  }
  const set = (what) => (event) => { one[what] = event.target.value; one.tried = null; redraw() }
  return html`
    <p class="crumb"><a href="#/groups">← ${t('groups')}</a></p>
    <header class="head"><h1>${about.name} <span class="chip">${about.state}</span></h1>
      ${isAdmin() ? html`<span class="buttons"><button class="danger" @click=${remove}>${t('delete')}</button></span>` : nothing}</header>
    ${failed()}
    <section class="card"><div class="scroll" tabindex="0" role="region" aria-label=${t('partitions')}><table>
      <thead><tr><th>${t('topic')}</th><th class="n">${t('partition')}</th><th class="n">${t('committed')}</th><th class="n">${t('end')}</th><th class="n">${t('lag')}</th></tr></thead>
      <tbody>${about.offsets.map((row) => html`<tr><td><a href="#/topic/${name(row.topic)}">${row.topic}</a></td><td class="n">${row.partition}</td><td class="n">${number(row.committed)}</td><td class="n">${number(row.end)}</td><td class="n">${number(row.lag)}</td></tr>`)}</tbody>
    </table></div></section>
    ${about.members.length > 0 ? html`<section class="card"><h2>${t('members')}</h2><div class="scroll" tabindex="0" role="region" aria-label=${t('members')}><table>
      <tbody>${about.members.map((member) => html`<tr><td><code>${member.id}</code></td><td>${member.client}</td><td>${member.host}</td></tr>`)}</tbody></table></div></section>` : nothing}
    ${isAdmin() ? html`<section class="card"><h2>${t('resetOffsets')}</h2>
      <form class="row" @submit=${(event) => { event.preventDefault(); move(true) }}>
        <label>${t('to')} <select .value=${one.to} @change=${set('to')}>${[['earliest', 'earliest'], ['latest', 'latest'], ['offset', 'fromOffset'], ['time_ms', 'fromTime']].map(([value, word]) => html`<option value=${value}>${t(word)}</option>`)}</select></label>
        ${one.to === 'offset' ? html`<label>${t('offset')} <input required inputmode="numeric" pattern="[0-9]+" .value=${one.value} @input=${set('value')}></label>` : nothing}
        ${one.to === 'time_ms' ? html`<label>${t('time')} <input required type="datetime-local" .value=${one.value} @input=${set('value')}></label>` : nothing}
        <button>${t('try')}</button>
      </form>
      ${tried ? html`<div class="tried" role="status"><table><thead><tr><th>${t('topic')}</th><th class="n">${t('partition')}</th><th class="n">${t('before')}</th><th class="n">${t('after')}</th></tr></thead>
        <tbody>${tried.after.map((row, at) => html`<tr><td>${row.topic}</td><td class="n">${row.partition}</td><td class="n">${number(tried.before[at]?.offset)}</td><td class="n">${number(row.offset)}</td></tr>`)}</tbody></table>
        ${tried.dry_run ? html`<p class="muted">${t('nothingChanged')}</p><button class="danger" @click=${() => move(false)}>${t('execute')}</button>` : html`<p>${t('done')}</p>`}</div>` : nothing}
    </section>` : nothing}`
}

export async function openAudit(redraw) {
  entries = null
  error = null
  await load(redraw, async () => { entries = (await get('/audit?limit=200')).entries })
}

export function audit() {
  return html`<header class="head"><h1>${t('audit')}</h1></header>${failed()}
    ${entries === null ? loading() : entries.length === 0 ? html`<p class="empty">${t('noAudit')}</p>` : html`<section class="card"><div class="scroll" tabindex="0" role="region" aria-label=${t('audit')}><table>
      <thead><tr><th>${t('time')}</th><th>${t('who')}</th><th>${t('what')}</th><th>${t('on')}</th><th>${t('before')}</th><th>${t('after')}</th><th>${t('outcome')}</th></tr></thead>
      <tbody>${entries.map((one) => html`<tr><td>${time(one.time_ms)}</td><td>${one.who} <span class="muted">${one.from}</span></td><td>${one.what}</td><td>${one.on}</td><td><code class="wrap">${brief(one.before)}</code></td><td><code class="wrap">${brief(one.after)}</code></td><td>${one.outcome}</td></tr>`)}</tbody>
    </table></div></section>`}`
}

// An object in words: `state: running, position: ..`.
function brief(value) {
  if (value === null || typeof value !== 'object') return String(value ?? '–').slice(0, 400)
  if (Array.isArray(value)) return value.map(brief).join('; ').slice(0, 400)
  const told = Object.entries(value).filter(([, one]) => one !== null && !(Array.isArray(one) && one.length === 0))
  return told.map(([key, one]) => `${key}: ${typeof one === 'object' ? `(${brief(one)})` : one}`).join(', ').slice(0, 400)
}
