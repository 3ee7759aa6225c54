// What the process tells by itself, a second apart: how each instance is, and a few minutes of it.

import { session } from './api.js'

const KEPT = 180
const SILENT = 5000

export const live = { instances: new Map(), process: null, heard: 0, begun: Date.now() }
const history = new Map()
let source = null
let changed = () => {}

export const isStale = () => Date.now() - Math.max(live.heard, live.begun) > SILENT

export function watch(onChange, onLost) {
  changed = onChange
  stop()
  live.begun = Date.now()
  source = new EventSource('/api/v1/events')
  let first = true
  source.onmessage = (event) => {
    const news = JSON.parse(event.data)
    if (first) live.instances.clear()
    first = false
    for (const one of news.changed) live.instances.set(one.name, one)
    for (const name of news.gone) live.instances.delete(name)
    if (news.process) live.process = news.process
    live.heard = Date.now()
    for (const one of live.instances.values()) keep(one)
    changed()
  }
  source.onerror = () => {
    // The next answer has everything again.
    first = true
    if (source?.readyState === EventSource.CLOSED) onLost()
    changed()
  }
}

export function stop() {
  source?.close()
  source = null
}

function keep(one) {
  let samples = history.get(one.name)
  if (!samples) history.set(one.name, (samples = []))
  const { received_bytes, rows, bytes, delay_ms } = one.progress
  const encoded = one.encoded?.rows ?? 0
  const last = samples.at(-1)
  // Behind a start of the process, or of the instance, counts begin again.
  if (last && (received_bytes < last.received || rows < last.rows || encoded < last.encoded)) samples.length = 0
  samples.push({ at: Date.now(), received: received_bytes, encoded, rows, bytes, delay: delay_ms })
  if (samples.length > KEPT) samples.shift()
}

// Each a second, over the last five.
export function rates(name) {
  const samples = history.get(name) ?? []
  const last = samples.at(-1)
  const before = samples.at(-6) ?? samples[0]
  const seconds = last && before ? (last.at - before.at) / 1000 : 0
  if (!(seconds > 0)) return { received: 0, encoded: 0, rows: 0, bytes: 0 }
  const of = (what) => (last[what] - before[what]) / seconds
  return { received: of('received'), encoded: of('encoded'), rows: of('rows'), bytes: of('bytes') }
}

// For a chart: times, rows a second, seconds behind.
export function series(name) {
  const samples = history.get(name) ?? []
  const out = [[], [], []]
  for (let at = 1; at < samples.length; at += 1) {
    const [one, before] = [samples[at], samples[at - 1]]
    const seconds = (one.at - before.at) / 1000 || 1
    out[0].push(one.at / 1000)
    out[1].push((one.rows - before.rows) / seconds)
    out[2].push(one.delay / 1000)
  }
  return out
}

setInterval(() => {
  if (session && isStale()) changed()
}, 1000)
