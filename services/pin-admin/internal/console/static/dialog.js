// Modal dialogs. The dialog element keeps the keyboard focus inside and returns it when the dialog closes.

import { button, h, newID } from './dom.js';
import { form } from './form.js';

// open shows a dialog with the elements that content(close) returns. Its promise resolves to the argument of close, or to null
// when the dialog was closed in another way.
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

// confirmDialog asks before an action. It runs the action and resolves to true. When the action fails, the dialog stays open
// and shows the error. The button is red unless danger is false.
export function confirmDialog({ title, text, submit, danger = true, action }) {
  return open(title, (close) => [h('p', {}, text), form({
    label: title, fields: [], submit, danger, cancel: () => close(),
    onsubmit: async () => { await action(); close(true); },
  })]);
}

// formDialog shows a form and runs the action with the values of its fields. It resolves to the action's result. extra and onedit
// are those of form.
export function formDialog({ title, text, fields, submit, action, extra, onedit }) {
  return open(title, (close) => [text && h('p', {}, text), form({
    label: title, fields, submit, extra, onedit, cancel: () => close(),
    onsubmit: async (values) => close(await action(values)),
  })].filter(Boolean));
}

// secretDialog shows a new secret, with a button to copy it.
export function secretDialog({ title, text, secret, label = 'The key' }) {
  return open(title, (close) => {
    const id = newID('secret');
    const box = h('textarea', { id, class: 'secret', readonly: true, rows: 2, spellcheck: 'false', autocomplete: 'off', onfocus: () => box.select() }, secret);
    const status = h('span', { role: 'status', class: 'hint' });
    const copy = button('Copy', async () => {
      box.select();
      try {
        await navigator.clipboard.writeText(secret);
      } catch {
        document.execCommand('copy'); // a page that was loaded over plain HTTP has no navigator.clipboard
      }
      status.textContent = 'Copied.';
    }, { class: 'primary', autofocus: true });
    return [h('p', {}, text), h('div', { class: 'field' }, h('label', { for: id }, label), box),
      h('div', { class: 'buttons' }, copy, button('Done', () => close()), status)];
  });
}
