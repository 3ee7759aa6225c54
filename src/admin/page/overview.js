// All instances: the pipe of each, from the server to the slowest group.

import { html, svg, nothing } from './vendor/lit-html.js'
import { live, rates } from './live.js'
import { bytes, lag, number, rate, span } from './format.js'
import { t } from './words.js'

const ORDER = ['stopped', 'retrying', 'waiting', 'starting', 'running', 'standby']
let wanted = ''

export function overview(redraw) {
  const all = [...live.instances.values()]
  const shown = all
    .filter((one) => one.name.includes(wanted))
    .sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state) || one.name.localeCompare(other.name))
  const count = (state) => all.filter((one) => one.state === state).length
  return html`
    <header class="head">
      <h1>${t('overview')}</h1>
      <p class="counts">
        ${ORDER.filter((state) => count(state) > 0).map((state) => html`<span class="chip ${state}">${number(count(state))} ${t(state)}</span>`)}
      </p>
      ${all.length > 5 ? html`<input type="search" aria-label=${t('find')} placeholder=${t('find')} .value=${wanted}
        @input=${(event) => { wanted = event.target.value; redraw() }}>` : nothing}
    </header>
    ${troubles()}
    ${all.length === 0 ? html`<p class="empty">${live.heard ? t('noInstance') : t('loading')}</p>` : nothing}
    <div class="cards">${shown.map(card)}</div>`
}

// What is wrong with the process as a whole.
function troubles() {
  const { damage = [], log = [], log_files = [], refused = [] } = live.process ?? {}
  const all = [...damage, ...log, ...log_files, ...refused]
  return all.length === 0 ? nothing : html`<ul class="notice bad" role="alert">${all.map((one) => html`<li>${one}</li>`)}</ul>`
}

function card(one) {
  const path = `#/instance/${encodeURIComponent(one.name)}`
  return html`
    <article class="card ${one.state}" aria-label=${one.name}>
      <h2><a href=${path}>${one.name}</a> <span class="chip ${one.state}">${t(one.state)}</span></h2>
      ${why(one)}
      ${pipe(one)}
      ${horizon(one.progress.retention)}
    </article>`
}

export function why(one) {
  return html`
    ${one.reason ? html`<p class="reason">${one.reason}</p>` : nothing}
    ${one.active ? html`<p class="reason">${t('activeElsewhere', one.active)}</p>` : nothing}
    ${one.progress.parked.length > 0 ? html`<p class="reason warn">${t('parkedTables', one.progress.parked.length)}</p>` : nothing}`
}

export function pipe(one) {
  const { received, encoded, rows } = rates(one.name)
  const { progress } = one
  const slowest = Object.entries(one.groups ?? {}).sort((a, b) => b[1] - a[1])[0]
  const place = progress.position ? `${progress.position.file}:${progress.position.offset}` : t('noPosition')
  const dead = one.state !== 'running'
  return html`
    <ol class="pipe ${dead ? 'dead' : ''}">
      ${stage(t('server'), progress.heard_ms ? t('heard', span((Date.now() - progress.heard_ms) / 1000)) : '–')}
      ${stage(t('received'), bytes(progress.received_bytes), `${bytes(received)}/s`)}
      ${stage(t('decoded'), t('rows', number(one.encoded?.rows ?? 0)), t('rowsPerSecond', rate(encoded)))}
      ${stage(t('durable'), dead && progress.delay_ms === 0 ? '–' : t('behind', lag(progress.delay_ms)), t('rowsPerSecond', rate(rows)), progress.delay_ms > 60_000)}
      ${slowest
        ? stage(t('slowest'), t('unread', number(slowest[1])), slowest[0], slowest[1] > 100_000)
        : stage(t('slowest'), t('noGroup'), '')}
    </ol>
    <p class="place"><span class="label">${t('position')}</span> <code>${place}</code></p>`
}

const stage = (name, value, arrow, warn) => html`
  <li class=${warn ? 'warn' : ''}>
    ${arrow === undefined ? nothing : html`<span class="arrow"><span>${arrow}</span></span>`}
    <span class="stage"><span class="label">${name}</span><strong>${value}</strong></span>
  </li>`

// How much of the time, or size, is used up until the server may purge what is still needed.
export function horizon(left) {
  if (!left) return nothing
  const used = Math.min(100, left.used_percent)
  const parts = []
  if (left.seconds !== null) parts.push(span(left.seconds))
  if (left.bytes !== null) parts.push(bytes(left.bytes))
  const text = t('horizon', used, parts.join(', ') || '–')
  return html`
    <div class="horizon ${left.level}">
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=${text}>
        <rect class="track" width="100" height="4" rx="1"></rect>
        ${svg`<rect class="used" width=${Math.max(used, 0.5)} height="4" rx="1"></rect>`}
        <line x1="50" x2="50" y1="0" y2="4"></line><line x1="75" x2="75" y1="0" y2="4"></line>
      </svg>
      <p>${text}</p>
    </div>`
}
