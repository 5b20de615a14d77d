// Questions that come before the page: the dialog element keeps the keyboard inside and gives the focus back.

import { button, h, newID } from './dom.js';
import { form } from './form.js';

// open shows a dialog with the nodes that content makes; it returns a promise of what close was called with, or of null.
function open(title, content) {
  return new Promise((resolve) => {
    let result = null;
    const id = newID('dialog');
    const dialog = h('dialog', { 'aria-labelledby': id });
    const close = (value = null) => { result = value; dialog.close(); };
    dialog.append(h('h2', { id }, title), ...content(close));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// sure asks before something that others will notice, in red when it takes something away. action does it; the dialog stays while that fails.
export function sure({ title, text, submit, danger = true, action }) {
  return open(title, (close) => [h('p', {}, text), form({
    label: title, fields: [], submit, danger, cancel: () => close(),
    onsubmit: async () => { await action(); close(true); },
  })]);
}

// fill asks for the fields' values. action gets them; what it returns is the result.
export function fill({ title, text, fields, submit, action }) {
  return open(title, (close) => [text && h('p', {}, text), form({
    label: title, fields, submit, cancel: () => close(),
    onsubmit: async (values) => close(await action(values)),
  })].filter(Boolean));
}

// reveal shows a key, this once.
export function reveal({ title, text, secret }) {
  return open(title, (close) => {
    const id = newID('secret');
    const box = h('textarea', { id, class: 'secret', readonly: true, rows: 2, spellcheck: 'false', autocomplete: 'off', onfocus: () => box.select() }, secret);
    const said = h('span', { role: 'status', class: 'hint' });
    const copy = button('Copy', async () => {
      box.select();
      try {
        await navigator.clipboard.writeText(secret);
      } catch {
        document.execCommand('copy'); // a page that came by plain HTTP has no clipboard
      }
      said.textContent = 'Copied.';
    }, { class: 'primary', autofocus: true });
    return [h('p', {}, text), h('div', { class: 'field' }, h('label', { for: id }, 'The key'), box),
      h('div', { class: 'buttons' }, copy, button('Done', () => close()), said)];
  });
}
