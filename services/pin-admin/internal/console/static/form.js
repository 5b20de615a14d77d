// Forms: each field with its label, its hint, and the place where what is wrong with it is said.

import { button, h, newID } from './dom.js';

// form builds one. A field is {name, label, kind, hint, value, options, attributes}; onsubmit gets the values by name.
// What it throws is shown at the fields that it names, and else above the button.
export function form({ label, fields, submit, danger, cancel, onsubmit }) {
  const all = fields.map(build);
  const alert = h('div', { class: 'alarm', role: 'alert', hidden: true });
  const send = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, submit);
  let busy = false;

  async function run(event) {
    event.preventDefault();
    if (busy) return;
    busy = true;
    element.setAttribute('aria-busy', 'true');
    alert.hidden = true;
    for (const field of all) field.complain('');
    try {
      await onsubmit(Object.fromEntries(all.map((field) => [field.name, field.read()])));
    } catch (problem) {
      show(problem);
    } finally {
      busy = false;
      element.removeAttribute('aria-busy');
      for (const field of all) field.wipe();
    }
  }

  function show(problem) {
    const elsewhere = [];
    for (const issue of problem.issues ?? []) {
      const field = all.find(({ name }) => name === issue.loc[1]);
      if (field) field.complain(issue.loc.length > 2 ? `Number ${Number(issue.loc[2]) + 1}: ${issue.msg}` : issue.msg);
      else elsewhere.push(issue.msg);
    }
    if (!problem.issues?.length) elsewhere.push(problem.message);
    alert.hidden = elsewhere.length === 0;
    alert.replaceChildren(h('p', {}, elsewhere.join(' ')));
    (all.find(({ control }) => control.getAttribute('aria-invalid') === 'true')?.control ?? send).focus();
  }

  const element = h('form', { class: 'form', novalidate: true, onsubmit: run, 'aria-label': label },
    all.map((field) => field.element), alert,
    h('div', { class: 'buttons' }, send, cancel && button('Cancel', cancel)));
  return element;
}

function build({ name, label, kind = 'text', hint, value, options, attributes = {} }) {
  const id = newID(name);
  const error = h('p', { id: `${id}-error`, class: 'error', hidden: true });
  const common = { id, name, 'aria-describedby': hint ? `${id}-hint ${id}-error` : `${id}-error`, ...attributes };
  const control = makeControl(kind, common, value, options);
  const labelled = h('label', { for: id }, label);
  const element = h('div', { class: kind === 'checkbox' ? 'field check' : 'field' },
    kind === 'checkbox' ? [control, labelled] : [labelled, control],
    hint && h('p', { id: `${id}-hint`, class: 'hint' }, hint), error);
  return {
    name, element, control,
    read: () => (kind === 'checkbox' ? control.checked : control.value),
    // wipe forgets what was typed when that is a secret, whatever became of it.
    wipe: () => { if (kind === 'pin' || kind === 'password') control.value = ''; },
    complain(text) {
      error.textContent = text;
      error.hidden = text === '';
      if (text) control.setAttribute('aria-invalid', 'true');
      else control.removeAttribute('aria-invalid');
    },
  };
}

function makeControl(kind, common, value, options) {
  switch (kind) {
    case 'select':
      return h('select', common, options.map(([key, text]) => h('option', { value: key, selected: key === value }, text)));
    case 'textarea':
      return h('textarea', { rows: 4, spellcheck: 'false', ...common }, value ?? '');
    case 'checkbox':
      return h('input', { type: 'checkbox', checked: value, ...common });
    case 'pin':
      return h('input', { type: 'password', inputmode: 'numeric', autocomplete: 'off', maxlength: 12, class: 'short', ...common });
    default:
      return h('input', { type: kind, value, spellcheck: 'false', autocomplete: 'off', ...common });
  }
}
