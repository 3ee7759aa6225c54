// One question at a time, answered by a button or a key. Who leaves the screen that it is about has
// answered no: what it would do is done to what the screen shows.

import { html, render } from './vendor/lit-html.js'
import { t } from './words.js'

export function sure(text, button) {
  const dialog = document.getElementById('ask')
  return new Promise((answer) => {
    const left = () => close(false)
    const close = (yes) => {
      window.removeEventListener('hashchange', left)
      dialog.onclose = null
      dialog.close()
      answer(yes)
    }
    render(html`
      <h2 id="ask-title">${t('confirm')}</h2>
      <p>${text}</p>
      <div class="buttons">
        <button type="button" @click=${() => close(false)}>${t('cancel')}</button>
        <button type="button" class="danger" @click=${() => close(true)}>${button}</button>
      </div>`, dialog)
    window.addEventListener('hashchange', left)
    dialog.onclose = left
    dialog.showModal()
  })
}
