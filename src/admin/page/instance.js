// One instance: how it is, what to do, its tables, what is parked, its position, its log.

import { html, nothing } from './vendor/lit-html.js'
import uPlot from './vendor/uPlot.js'
import { ask, get, isAdmin, name } from './api.js'
import { sure } from './dialog.js'
import { bytes, number, rate, time } from './format.js'
import { live, series } from './live.js'
import { horizon, pipe, why } from './overview.js'
import { language, t } from './words.js'

let shown = null
let chart = null

// What is asked for beside what is told live: tables and the log.
export function open(instance, redraw) {
  close()
  shown = { instance, redraw, tables: null, log: null, form: { file: '', offset: '', gtid: '' }, tried: null, said: null, before: null }
  const mine = shown
  const load = async () => {
    if (document.hidden || shown !== mine) return
    const [one, log] = await Promise.all([
      get(`/instances/${name(instance)}`).catch(() => null),
      get(`/instances/${name(instance)}/log`).catch(() => null),
    ])
    if (shown !== mine) return
    if (one) {
      mine.before = mine.tables && { at: mine.at, rows: new Map(mine.tables.map((one) => [one.table + one.topic, one.rows])) }
      mine.tables = one.tables
      mine.at = Date.now()
    }
    if (log) mine.log = log.lines.slice(-300)
    redraw()
  }
  mine.timer = setInterval(load, 3000)
  load()
}

export function close() {
  if (shown) clearInterval(shown.timer)
  shown = null
  chart?.destroy()
  chart = null
}

async function act(work) {
  const mine = shown
  mine.busy = true
  mine.redraw()
  try {
    const answer = await work()
    mine.said = { ok: true, text: answer.said || t('done') }
  } catch (error) {
    mine.said = { ok: false, text: error.message || t('silent') }
  }
  mine.busy = false
  mine.redraw()
}

const path = (rest) => `/instances/${name(shown.instance)}${rest}`

// The button that does what an advice says, where it names a command that the page can do.
function button(one) {
  const advice = one.advice ?? ''
  if (/position reset/.test(advice)) return { label: t('reset'), does: () => tryReset() }
  // One without a position begins where its configuration says.
  if (/position set/.test(advice) && one.progress.position) return { label: t('set'), does: () => document.getElementById('file')?.focus() }
  const retry = /instance retry \S+ (\S+?)[`.,;)]?(\s|$)/.exec(advice)
  if (retry) return { label: t('retry'), does: () => unpark('retry', retry[1]) }
  return { label: t('start'), does: () => act(() => ask('POST', path('/start'))) }
}

async function unpark(what, table) {
  const text = t(what === 'drop' ? 'dropAsk' : 'retryAsk', table)
  if (await sure(text, t(what))) act(() => ask('POST', path(`/${what}`), { table }))
}

export function instance(redraw) {
  const one = live.instances.get(shown.instance)
  if (!one) return html`<p><a href="#/">← ${t('back_overview')}</a></p><p class="empty">${live.heard ? t('unknown', shown.instance) : t('loading')}</p>`
  const isStopped = one.state === 'stopped'
  const may = isAdmin()
  return html`
    <p class="crumb"><a href="#/">← ${t('back_overview')}</a></p>
    <header class="head">
      <h1>${one.name} <span class="chip ${one.state}">${t(one.state)}</span></h1>
      <span class="muted">${t('since', time(one.since_ms))}</span>
      ${may ? html`<span class="buttons">
        ${isStopped
          ? html`<button ?disabled=${shown.busy} @click=${() => act(() => ask('POST', path('/start')))}>${t('start')}</button>`
          : html`<button ?disabled=${shown.busy} @click=${async () => { if (await sure(t('stopAsk', one.name), t('stop'))) act(() => ask('POST', path('/stop'))) }}>${t('stop')}</button>`}
      </span>` : html`<span class="muted">${t('viewOnly')}</span>`}
    </header>
    <div aria-live="polite">${shown.said ? html`<p class="notice ${shown.said.ok ? 'good' : 'bad'}">${shown.said.text}</p>` : nothing}</div>
    ${why(one)}
    ${one.advice ? html`<section class="advice" aria-label=${t('advice')}>
      <p><strong>${t('advice')}:</strong> ${one.advice}</p>
      ${may ? html`<button class="main" ?disabled=${shown.busy} @click=${button(one).does}>${button(one).label}</button>` : nothing}
    </section>` : nothing}
    <section class="card">${pipe(one)}${horizon(one.progress.retention)}</section>
    <section class="card"><h2>${t('lastMinutes')}</h2><div id="chart" class="chart"></div></section>
    ${parked(one, may)}
    <section class="card"><h2>${t('tables')}</h2>${tables()}</section>
    ${position(one, may, isStopped)}
    <section class="card"><h2>${t('log')}</h2>${logTail()}</section>`
}

function tables() {
  const all = shown.tables
  if (!all) return html`<p class="muted">${t('loading')}</p>`
  if (all.length === 0) return html`<p class="muted">${t('noTables')}</p>`
  const seconds = shown.before ? (shown.at - shown.before.at) / 1000 : 0
  const perSecond = (one) => {
    const before = shown.before?.rows.get(one.table + one.topic)
    return seconds > 0 && before !== undefined ? rate(Math.max(0, one.rows - before) / seconds) : '–'
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('tables')}><table>
    <thead><tr><th>${t('table')}</th><th>${t('topic')}</th><th class="n">${t('rowCount')}</th><th class="n">${t('perSecond')}</th><th class="n">${t('size')}</th><th>${t('lastChange')}</th></tr></thead>
    <tbody>${all.map((one) => html`<tr>
      <td><code>${one.table || '…'}</code></td>
      <td>${one.topic ? html`<a href="#/topic/${name(one.topic)}">${one.topic}</a>` : '–'}</td>
      <td class="n">${number(one.rows)}</td><td class="n">${perSecond(one)}</td><td class="n">${bytes(one.bytes)}</td>
      <td title=${time(one.last_ms)}>${time(one.last_ms)}</td></tr>`)}</tbody>
  </table></div>`
}

const tableName = (one) => [one.schema, one.table].filter(Boolean).join('.')

function parked(one, may) {
  const all = one.progress.parked
  if (all.length === 0) return nothing
  return html`<section class="card warn"><h2>${t('parked')}</h2><div class="scroll" tabindex="0" role="region" aria-label=${t('parked')}><table>
    <thead><tr><th>${t('table')}</th><th class="n">${t('events')}</th><th class="n">${t('size')}</th><th>${t('from')}</th><th>${t('reason')}</th><th></th></tr></thead>
    <tbody>${all.map((parked) => html`<tr>
      <td><code>${tableName(parked)}</code></td><td class="n">${number(parked.events)}</td><td class="n">${bytes(parked.bytes)}</td>
      <td><code>${parked.file}:${parked.offset}</code></td><td>${parked.reason}</td>
      <td class="buttons">${may ? html`
        <button ?disabled=${shown.busy} @click=${() => unpark('retry', tableName(parked))}>${t('retry')}</button>
        <button class="danger" ?disabled=${shown.busy} @click=${() => unpark('drop', tableName(parked))}>${t('drop')}</button>` : nothing}</td></tr>`)}</tbody>
  </table></div></section>`
}

function position(one, may, isStopped) {
  const { position } = one.progress
  const { form, tried } = shown
  const gtid = position?.gtid_set
  const known = position && typeof gtid === 'object' && gtid !== null ? Object.values(gtid)[0] : gtid
  return html`<section class="card"><h2>${t('position')}</h2>
    <dl>
      <dt>${t('file')}</dt><dd><code>${position ? `${position.file}:${position.offset}` : t('noPosition')}</code></dd>
      ${typeof known === 'string' && known ? html`<dt>GTID</dt><dd><code class="wrap">${known}</code></dd>` : nothing}
      ${position?.server_uuid ? html`<dt>${t('server')}</dt><dd><code>${position.server_uuid}</code></dd>` : nothing}
    </dl>
    ${may ? html`
      <form class="row" @submit=${(event) => { event.preventDefault(); trySet() }}>
        <p class="muted wide">${t('setHint')}</p>
        <label>${t('file')} <input id="file" .value=${form.file} @input=${field('file')} placeholder=${position?.file || 'binlog.000001'}></label>
        <label>${t('offset')} <input inputmode="numeric" pattern="[0-9]*" .value=${form.offset} @input=${field('offset')} placeholder="4"></label>
        <label>${t('gtid')} <input .value=${form.gtid} @input=${field('gtid')}></label>
        <button ?disabled=${shown.busy || !(form.file || form.gtid)}>${t('try')}</button>
      </form>
      <div class="row"><p class="muted wide">${t('resetHint')}</p><button type="button" ?disabled=${shown.busy} @click=${tryReset}>${t('reset')}: ${t('try')}</button></div>
      ${tried ? outcome(tried, isStopped) : nothing}` : nothing}
  </section>`
}

const field = (what) => (event) => {
  shown.form[what] = event.target.value.trim()
  shown.tried = null
  shown.redraw()
}

function place() {
  const { file, offset, gtid } = shown.form
  return gtid ? { set: gtid } : { file, offset: Number(offset || 4) }
}

async function dry(method, path, body, does) {
  const mine = shown
  try {
    mine.tried = { ...(await ask(method, path, body)), does }
    mine.said = null
  } catch (error) {
    mine.said = { ok: false, text: error.message || t('silent') }
  }
  mine.redraw()
}

const trySet = () => {
  const wanted = place()
  dry('PUT', path('/position?dry_run=true'), wanted, { label: t('set'), work: () => ask('PUT', path('/position'), wanted) })
}

const tryReset = () => {
  const parked = (live.instances.get(shown.instance)?.progress.parked.length ?? 0) > 0
  const work = () => ask('DELETE', path(`/position?drop_parked=${parked}`))
  dry('DELETE', path('/position?dry_run=true'), undefined, { label: t('reset'), work })
}

function outcome({ before, after, means, wants, does }, isStopped) {
  const parts = []
  if (means?.again_bytes) parts.push(t('againBytes', bytes(means.again_bytes)))
  if (means?.skipped_bytes) parts.push(t('skippedBytes', bytes(means.skipped_bytes)))
  if (means?.is_earlier) parts.push(t('isEarlier'))
  if (means?.is_later) parts.push(t('isLater'))
  if (means?.drops_parked?.length) parts.push(t('dropsParked', means.drops_parked.join(', ')))
  const to = after === null ? t('resetHint') : (after.set ?? `${after.file}:${after.offset}`)
  const run = async () => {
    const mine = shown
    if (!(await sure(`${before ?? '–'} → ${to}`, does.label))) return
    mine.tried = null
    act(does.work)
  }
  return html`<div class="tried" role="status">
    <dl><dt>${t('before')}</dt><dd><code class="wrap">${before ?? t('noPosition')}</code></dd><dt>${t('after')}</dt><dd><code class="wrap">${to}</code></dd>
    ${isStopped && !wants ? nothing : html`<dt>${t('wants')}</dt><dd>${isStopped ? wants : t('stop')}</dd>`}</dl>
    ${parts.map((one) => html`<p>${one}</p>`)}<p class="muted">${t('nothingChanged')}</p>
    <button class="danger" ?disabled=${!isStopped || (before === null && wants) || shown.busy} @click=${run}>${does.label}</button>
  </div>`
}

function logTail() {
  if (!shown.log) return html`<p class="muted">${t('loading')}</p>`
  if (shown.log.length === 0) return html`<p class="muted">${t('noLog')}</p>`
  return html`<pre class="log" tabindex="0" aria-label=${t('log')}>${shown.log.join('\n')}</pre>`
}

// Behind each drawing: charts and the end of the log are no templates.
export function drawn() {
  const log = document.querySelector('pre.log')
  if (log && !log.matches(':hover, :focus')) log.scrollTop = log.scrollHeight
  const at = document.getElementById('chart')
  if (!at) return
  const data = series(shown.instance)
  const width = Math.max(240, at.clientWidth)
  if (chart && (chart.root.parentNode !== at || chart.language !== document.documentElement.lang || chart.theme !== theme())) {
    chart.destroy()
    chart = null
  }
  if (!chart) {
    const style = getComputedStyle(document.documentElement)
    const color = (what) => style.getPropertyValue(what).trim()
    const axis = { stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { stroke: color('--line') } }
    const atLeast = (least) => (_, from, to) => [0, Math.max(least, (to ?? 0) * 1.1)]
    chart = new uPlot({
      width, height: 180, legend: { live: false },
      scales: { rows: { range: atLeast(10) }, lag: { range: atLeast(5) } },
      axes: [{ ...axis, space: 80, values: clock }, { ...axis, scale: 'rows', size: 64 }, { ...axis, scale: 'lag', side: 1, grid: { show: false }, size: 48 }],
      series: [{}, { label: t('chartRows'), scale: 'rows', stroke: color('--accent'), width: 2, points: { show: false } }, { label: t('chartBehind'), scale: 'lag', stroke: color('--warn'), width: 1.5, points: { show: false } }],
    }, data, at)
    chart.language = document.documentElement.lang
    chart.theme = theme()
  } else {
    if (chart.width !== width) chart.setSize({ width, height: 180 })
    chart.setData(data)
  }
}

const clock = (_, times) => times.map((at) => new Date(at * 1000).toLocaleTimeString(language(), { hour12: false }))

const theme = () => document.documentElement.dataset.theme + matchMedia('(prefers-color-scheme: dark)').matches
