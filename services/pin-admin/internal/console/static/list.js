// A page with one list and a search field. It searches while the user types.

import { errorBox, h, newID } from './dom.js';
import { pagedList } from './panel.js';

const searchDelay = 250; // milliseconds after the last key

export function listPage({ title, path, searchLabel, emptyText, actions, row }) {
  const id = newID('search');
  const count = h('p', { class: 'hint', role: 'status' });
  const results = h('div', { class: 'body' });
  let running = new AbortController();
  let timer;

  async function search() {
    running.abort();
    const { signal } = running = new AbortController();
    results.setAttribute('aria-busy', 'true');
    try {
      const onTotal = (total) => { count.textContent = `${total} found`; };
      const rows = await pagedList(path, { search: input.value.trim() }, { row, emptyText, onTotal, signal });
      if (signal.aborted) return;
      results.replaceChildren(...rows);
    } catch (problem) {
      if (signal.aborted) return;
      results.replaceChildren(errorBox(problem, search));
    }
    results.removeAttribute('aria-busy');
  }

  const input = h('input', {
    id, type: 'search', autocomplete: 'off', spellcheck: 'false', maxlength: 255,
    oninput: () => { clearTimeout(timer); timer = setTimeout(search, searchDelay); },
  });
  search();
  return {
    title,
    nodes: [h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, title), h('div', { class: 'buttons' }, actions)),
      h('section', { class: 'panel', 'aria-label': title },
        h('div', { class: 'field', role: 'search' }, h('label', { for: id }, searchLabel), input, count), results)],
  };
}
