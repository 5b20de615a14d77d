// A panel is a section of a page that loads its own content. It has a heading, buttons, and its content or an error.

import { button, emptyNotice, errorBox, h, newID } from './dom.js';
import { get } from './api.js';

// panel returns {element, reload, refresh}. load returns the elements of the content. reload loads the content again. refresh
// also moves the focus to the heading.
export function panel(title, { load, actions = [] }) {
  const id = newID('panel');
  const heading = h('h2', { id, tabindex: '-1' }, title);
  const body = h('div', { class: 'body' }, emptyNotice('Loading…'));
  async function reload() {
    body.setAttribute('aria-busy', 'true');
    try {
      body.replaceChildren(...[await load()].flat());
    } catch (problem) {
      body.replaceChildren(errorBox(problem, reload));
    }
    body.removeAttribute('aria-busy');
  }
  async function refresh() {
    await reload();
    heading.focus();
  }
  reload();
  const element = h('section', { class: 'panel', 'aria-labelledby': id },
    h('div', { class: 'head' }, heading, h('div', { class: 'buttons' }, actions)), body);
  return { element, reload, refresh };
}

// pagedList loads the first page of a list and returns its elements. A button loads further pages. row returns the content of
// one item's row. emptyText is shown when the list is empty. onTotal gets the number of items on all pages.
export async function pagedList(path, query, { row, emptyText, onTotal = () => {}, signal }) {
  const list = h('ul', { class: 'rows' });
  const count = h('p', { class: 'hint' });
  let number = 0;
  async function loadNext() {
    const page = await get(path, { ...query, page: number + 1, per_page: 20 }, signal);
    number = page.page;
    onTotal(page.total);
    const rows = page.items.map((item) => h('li', {}, row(item)));
    list.append(...rows);
    count.textContent = `${list.children.length} of ${page.total}`;
    footer.hidden = page.items.length === 0 || list.children.length >= page.total;
    return rows;
  }
  const more = button('Show more', async () => {
    try {
      const rows = await loadNext();
      rows[0]?.querySelector('a, button')?.focus();
    } catch (problem) {
      list.after(errorBox(problem));
    }
  });
  const footer = h('div', { class: 'buttons', hidden: true }, more, count);
  await loadNext();
  return list.children.length ? [list, footer] : [emptyNotice(emptyText)];
}
