// A page that is a list, searched as one types.

import { alarm, h, newID } from './dom.js';
import { pages } from './panel.js';

const pause = 250; // ms without a key, before the server is asked

export function listPage({ title, at, find, none, actions, show }) {
  const id = newID('search');
  const count = h('p', { class: 'hint', role: 'status' });
  const results = h('div', { class: 'body' });
  let running = new AbortController();
  let waiting;

  async function search() {
    running.abort();
    const { signal } = running = new AbortController();
    results.setAttribute('aria-busy', 'true');
    try {
      const found = (total) => { count.textContent = `${total} found`; };
      const rows = await pages(at, { search: input.value.trim() }, { show, none, found, signal });
      if (signal.aborted) return;
      results.replaceChildren(...rows);
    } catch (problem) {
      if (signal.aborted) return;
      results.replaceChildren(alarm(problem, search));
    }
    results.removeAttribute('aria-busy');
  }

  const input = h('input', {
    id, type: 'search', autocomplete: 'off', spellcheck: 'false', maxlength: 255,
    oninput: () => { clearTimeout(waiting); waiting = setTimeout(search, pause); },
  });
  search();
  return {
    title,
    nodes: [h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'buttons' }, actions)),
      h('section', { class: 'panel', 'aria-label': title },
        h('div', { class: 'field', role: 'search' }, h('label', { for: id }, find), input, count), results)],
  };
}
