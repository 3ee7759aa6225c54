// Drives the page in headless Chromium by its DevTools protocol, over a pipe.
//
//   node drive.mjs ADDRESS LINK FOLDER PID
//
// LINK logs in once; FOLDER takes a picture of each screen, and has axe-core; PID is the process that
// is ended at last, to see what the page says then. Fails by the first thing that is not as it should
// be, and by any error on the console.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const [address, link, folder, pid] = process.argv.slice(2)
const PATIENCE = 60_000
const profile = mkdtempSync(join(folder, 'profile-'))
const browser = spawn('chromium', [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-pipe', '--no-first-run',
  '--disable-extensions', '--disable-background-networking', '--disable-component-update', '--lang=en-US', `--user-data-dir=${profile}`, 'about:blank',
], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
const [, , , to, from] = browser.stdio

let next = 0
const waiting = new Map()
const faults = []
// What the browser reports of a server that is gone is meant to be reported.
let mayFail = false
let rest = ''
from.on('data', (bytes) => {
  const parts = (rest + bytes).split('\0')
  rest = parts.pop()
  for (const part of parts) heard(JSON.parse(part))
})

function heard({ id, result, error, method, params }) {
  if (id !== undefined) {
    const { done, failed } = waiting.get(id)
    waiting.delete(id)
    if (error) failed(new Error(error.message))
    else done(result)
  } else if (method === 'Runtime.exceptionThrown') {
    faults.push(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`)
  } else if (method === 'Runtime.consoleAPICalled' && ['error', 'warning'].includes(params.type)) {
    faults.push(`console: ${params.args.map((one) => one.value ?? one.description).join(' ')}`)
  } else if (method === 'Log.entryAdded' && params.entry.level === 'error' && !mayFail) {
    faults.push(`log: ${params.entry.text} ${params.entry.url ?? ''}`)
  }
}

let session
function send(method, params = {}) {
  next += 1
  to.write(JSON.stringify({ id: next, method, params, sessionId: session }) + '\0')
  return new Promise((done, failed) => waiting.set(next, { done, failed }))
}

async function run(expression) {
  const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
  if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`)
  return result.value
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms))

async function until(what, expression) {
  const begun = Date.now()
  while (!(await run(expression))) {
    if (Date.now() - begun > PATIENCE) throw new Error(`waited in vain for ${what}; the page says: ${await run('document.body.innerText')}`)
    await pause(100)
  }
  console.log(`ok     ${what}`)
}

const says = (what, text, where = 'body') => until(what, `(document.querySelector(${JSON.stringify(where)})?.innerText ?? '').includes(${JSON.stringify(text)})`)
const click = (selector, text = '') => run(`(() => { const one = [...document.querySelectorAll(${JSON.stringify(selector)})].find((one) => one.innerText.includes(${JSON.stringify(text)})); if (!one) throw new Error('no ' + ${JSON.stringify(selector + ' ' + text)}); one.click() })()`)
const go = (hash) => run(`location.hash = ${JSON.stringify(hash)}`)
const type = (selector, text) => run(`(() => { const one = document.querySelector(${JSON.stringify(selector)}); one.value = ${JSON.stringify(text)}; one.dispatchEvent(new Event('input', { bubbles: true })) })()`)

function check(what, holds, more = '') {
  if (!holds) throw new Error(`${what} ${more}`)
  console.log(`ok     ${what}`)
}

async function key(name, code) {
  const key = { key: name, code: name, windowsVirtualKeyCode: code, text: name === 'Enter' ? '\r' : undefined }
  await send('Input.dispatchKeyEvent', { type: 'keyDown', ...key })
  await send('Input.dispatchKeyEvent', { type: 'keyUp', ...key })
}

async function size(width, height, mobile = false) {
  await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile })
}

const theme = (value) => send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] })

async function picture(name) {
  await pause(400)
  const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true })
  writeFileSync(join(folder, `${name}.png`), Buffer.from(data, 'base64'))
  const wide = await run('document.documentElement.scrollWidth - document.documentElement.clientWidth')
  check(`${name}: nothing stands over the edge`, wide <= 0, `by ${wide}`)
  const found = await run(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => one.id + ': ' + one.nodes.map((node) => node.target + ' ' + node.failureSummary).join('; ')))`)
  check(`${name}: axe finds no serious fault`, found.length === 0, found.join('\n'))
}

async function open(url) {
  await send('Page.navigate', { url })
  await until(`${url.split('#')[0]} is loaded`, `document.readyState === 'complete' && location.href !== 'about:blank'`)
  await run(readFileSync(join(folder, 'node_modules/axe-core/axe.min.js'), 'utf8') + ';0')
}

async function drive() {
  const { targetInfos } = await send('Target.getTargets')
  const page = targetInfos.find((one) => one.type === 'page')
  const attached = await send('Target.attachToTarget', { targetId: page.targetId, flatten: true })
  session = attached.sessionId
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`)
  await size(1280, 900)
  await theme('light')

  mayFail = true // a 401 is how the page learns that nobody is logged in
  await open(address)
  await says('without a login there is a form', 'bin/sluice login')
  await picture('login')
  await type('input[name=user]', 'alice')
  await type('input[name=password]', 'not the password')
  await click('button.main')
  await says('a wrong password is refused in words', 'not the name and password')
  mayFail = false

  await open(link)
  await says('the link logs in', 'demo')
  check('the link is not in the address', !(await run('location.href')).includes('link='))
  await until('what is live comes', `document.querySelectorAll('.card').length === 2`)
  await says('an instance that has stopped stands first, with its reason', 'lost', '.card')
  await says('rows come', 'rows/s', '.pipe')
  await until('the group is shown', `document.querySelector('.card.running')?.innerText.includes('readers')`)
  await pause(4000)
  await picture('overview')
  await theme('dark')
  await picture('overview-dark')
  await theme('light')
  await click('button', '中文')
  await says('in Chinese', '已停止')
  await picture('overview-chinese')
  await click('button', 'English')
  await size(390, 844, true)
  await picture('overview-phone')
  await size(1280, 900)

  await run('document.activeElement?.blur()')
  await key('Tab', 9)
  check('the first key goes to the content', await run(`document.activeElement.className === 'skip'`))
  for (let turn = 0; turn < 40 && !(await run(`document.activeElement.matches('.card.running a')`)); turn += 1) await key('Tab', 9)
  check('an instance is reached by keys', await run(`document.activeElement.matches('.card.running a')`))
  await key('Enter', 13)
  await says('Enter opens it', 'bigdata.test', '.scroll')
  await until('the log comes', `(document.querySelector('pre.log')?.innerText ?? '').length > 100`)
  await until('the chart is drawn', `document.querySelector('#chart canvas') !== null`)
  await pause(4000)
  await picture('instance')
  await theme('dark')
  await picture('instance-dark')
  await theme('light')
  await size(390, 844, true)
  await picture('instance-phone')
  await size(1280, 900)

  await type('#file', 'binlog.000001')
  await until('a place can be tried', `!document.querySelector('form button').disabled`)
  await click('form button')
  await says('a dry run says what would come of it', 'Nothing was changed', '.tried')
  check('a running instance is not moved', await run(`document.querySelector('.tried button').disabled`))
  await click('.head button', 'Stop')
  await until('it asks first', `document.getElementById('ask').open`)
  await picture('question')
  await click('dialog button', 'Stop')
  await says('it stops', 'stopped', '.head')
  await until('and can be started', `[...document.querySelectorAll('.head button')].some((one) => one.innerText === 'Start')`)
  await click('.head button', 'Start')
  await says('it runs again', 'running', '.head')

  await go('#/instance/lost')
  await says('the advice is shown', 'What to do', '.advice')
  await until('with a button', `document.querySelector('.advice button') !== null`)
  await pause(3500)
  await picture('stopped-instance')

  await go('#/topics')
  await says('topics are listed', 'bigdata.test', '.scroll')
  await picture('topics')
  await go('#/topic/bigdata.test')
  await says('messages are shown', 'INSERT bigdata.test', 'details')
  await click('details summary')
  await picture('topic')
  await go('#/groups')
  await says('groups are listed', 'readers', '.scroll')
  await go('#/group/readers')
  await says('and what they have not read', 'bigdata.test', '.scroll')
  await click('form button')
  await says('a move is tried first', 'Nothing was changed', '.tried')
  await picture('group')
  await go('#/audit')
  await says('the stop is in the audit', 'instance stop', '.scroll')
  await says('and who asked for it', 'a one-time link', '.scroll')
  await picture('audit')

  await go('#/')
  await says('back at all instances', 'demo', '.cards')
  mayFail = true
  process.kill(Number(pid), 'SIGTERM')
  await until('a process that is gone is said to be', `document.querySelector('.banner')?.innerText.includes('does not answer')`)
  await picture('gone')
  check('no error on the console', faults.length === 0, faults.join('\n'))
}

let failed
try {
  await drive()
  console.log('page: all is as it should be')
} catch (error) {
  failed = error
  console.log(`FAILED ${error.message}`)
  if (faults.length > 0) console.log(faults.join('\n'))
} finally {
  // By itself first, so that its own processes end with it.
  const ended = new Promise((done) => browser.once('exit', done))
  session = undefined
  send('Browser.close').catch(() => {})
  await Promise.race([ended, pause(10_000)])
  browser.kill('SIGKILL')
  try {
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 })
  } catch {
    // The next run begins with another.
  }
}
process.exit(failed ? 1 : 0)
