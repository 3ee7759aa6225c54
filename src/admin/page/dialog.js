// One question at a time, answered by a button or a key.

import { html, render } from './vendor/lit-html.js'
import { t } from './words.js'

export function sure(text, button) {
  const dialog = document.getElementById('ask')
  return new Promise((answer) => {
    const close = (yes) => {
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
    dialog.onclose = () => answer(false)
    dialog.showModal()
  })
}
