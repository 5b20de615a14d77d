// Forms. Each field has a label, an optional hint, and a place for its error message.

import { button, h, newID } from './dom.js';

// form returns a form element. A field is {name, label, kind, hint, value, options, attributes}. onsubmit gets the values by
// field name. If it throws a Problem with issues, each issue is shown at its field; other errors are shown above the buttons.
// extra is an element between the fields and the buttons. onedit gets the values when the form is made and after each edit, and
// a function that shows a Problem, or with null no problem, at the fields.
export function form({ label, fields, submit, danger, cancel, onsubmit, extra, onedit }) {
  const all = fields.map(makeField);
  const formError = h('div', { class: 'error-box', role: 'alert', hidden: true });
  const submitButton = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, submit);
  let busy = false;

  async function run(event) {
    event.preventDefault();
    if (busy) return;
    busy = true;
    element.setAttribute('aria-busy', 'true');
    showErrors(null);
    try {
      await onsubmit(values());
    } catch (problem) {
      showErrors(problem);
      (all.find(({ control }) => control.getAttribute('aria-invalid') === 'true')?.control ?? submitButton).focus();
    } finally {
      busy = false;
      element.removeAttribute('aria-busy');
      for (const field of all) field.clearSecret();
    }
  }

  const values = () => Object.fromEntries(all.map((field) => [field.name, field.read()]));

  // showErrors replaces the errors that are shown by those of a Problem, or by none.
  function showErrors(problem) {
    const formErrors = problem && !problem.issues?.length ? [problem.message] : [];
    for (const field of all) field.showError('');
    for (const { loc, msg } of problem?.issues ?? []) {
      const field = all.find(({ name }) => name === loc[1]);
      if (field) field.showError(loc.length === 3 && /^\d+$/.test(loc[2]) ? `Entry ${Number(loc[2]) + 1}: ${msg}` : [...loc.slice(2), msg].join(': '));
      else formErrors.push(msg);
    }
    formError.hidden = formErrors.length === 0;
    formError.replaceChildren(h('p', {}, formErrors.join(' ')));
  }

  const edited = onedit && (() => onedit(values(), showErrors));
  const element = h('form', { class: 'form', novalidate: true, onsubmit: run, oninput: edited ?? null, 'aria-label': label },
    all.map((field) => field.element), extra, formError,
    h('div', { class: 'buttons' }, submitButton, cancel && button('Cancel', cancel)));
  edited?.();
  return element;
}

function makeField({ name, label, kind = 'text', hint, value, options, attributes = {} }) {
  const id = newID(name);
  const error = h('p', { id: `${id}-error`, class: 'error', hidden: true });
  const common = { id, name, 'aria-describedby': hint ? `${id}-hint ${id}-error` : `${id}-error`, ...attributes };
  const control = makeControl(kind, common, value, options);
  const labelElement = h('label', { for: id }, label);
  const element = h('div', { class: kind === 'checkbox' ? 'field check' : 'field' },
    kind === 'checkbox' ? [control, labelElement] : [labelElement, control],
    hint && h('p', { id: `${id}-hint`, class: 'hint' }, hint), error);
  return {
    name, element, control,
    read: () => (kind === 'checkbox' ? control.checked : control.value),
    // A typed PIN or password is cleared after every submit, also after a failure.
    clearSecret: () => { if (kind === 'pin' || kind === 'password') control.value = ''; },
    showError(text) {
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
