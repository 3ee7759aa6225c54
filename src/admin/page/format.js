// Numbers and times as people read them.

import { language } from './words.js'

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

export function bytes(count) {
  if (count === null || count === undefined) return '–'
  let unit = 0
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000
    unit += 1
  }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`
}

export function number(count) {
  if (count === null || count === undefined) return '–'
  return new Intl.NumberFormat(language()).format(count)
}

export function rate(count) {
  if (count >= 100 || count === 0) return number(Math.round(count))
  return count.toFixed(count >= 10 ? 0 : 1)
}

// A span in seconds: the two largest units of it.
export function span(seconds) {
  seconds = Math.max(0, Math.floor(seconds))
  const zh = language() === 'zh'
  const parts = [[zh ? '天' : 'd', 86400], [zh ? '小时' : 'h', 3600], [zh ? '分钟' : 'min', 60], [zh ? '秒' : 's', 1]]
  const out = []
  for (const [unit, size] of parts) {
    const count = Math.floor(seconds / size)
    if (count > 0 || (size === 1 && out.length === 0)) out.push(`${count} ${unit}`)
    seconds -= count * size
    if (out.length === 2) break
  }
  return out.join(' ')
}

export function lag(ms) {
  const unit = language() === 'zh' ? '秒' : 's'
  return ms > 0 && ms < 10_000 ? `${(ms / 1000).toFixed(1)} ${unit}` : span(ms / 1000)
}

export function time(ms) {
  if (!ms) return '–'
  return new Date(ms).toLocaleString(language(), { dateStyle: 'short', timeStyle: 'medium' })
}

export const ago = (ms) => (ms ? span((Date.now() - ms) / 1000) : '–')
