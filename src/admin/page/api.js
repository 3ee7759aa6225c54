// What the page asks of the process. Every change sends the CSRF token of the session.

export let session = null

export class Refused extends Error {
  constructor(status, text) {
    super(text)
    this.status = status
  }
}

export async function ask(method, path, body) {
  const headers = {}
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (method !== 'GET' && session?.csrf) headers['x-csrf-token'] = session.csrf
  let answer
  try {
    answer = await fetch('/api/v1' + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  } catch {
    throw new Refused(0, '')
  }
  const json = await answer.json().catch(() => ({}))
  if (!answer.ok) {
    if (answer.status === 401) session = null
    throw new Refused(answer.status, json.error ?? answer.statusText)
  }
  return json
}

export const get = (path) => ask('GET', path)

export async function resume() {
  try {
    session = await get('/session')
  } catch (error) {
    if (error.status !== 401) throw error
    session = null
  }
  return session
}

export async function begin(how) {
  session = await ask('POST', '/session', how)
  return session
}

export async function end() {
  await ask('DELETE', '/session').catch(() => {})
  session = null
}

export const isAdmin = () => session?.role === 'admin'

export const name = (text) => encodeURIComponent(text)
