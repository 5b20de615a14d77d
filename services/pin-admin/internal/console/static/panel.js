// A part of a page that loads by itself: a heading, what can be done, and the content or what kept it away.

import { alarm, button, h, newID } from './dom.js';
import { get } from './api.js';

// panel returns its element, and refresh, which loads the content again and then moves the focus to the heading.
export function panel(title, { load, actions = [] }) {
  const id = newID('panel');
  const heading = h('h2', { id, tabindex: '-1' }, title);
  const body = h('div', { class: 'body' }, h('p', { class: 'empty' }, 'Loading…'));
  async function reload() {
    body.setAttribute('aria-busy', 'true');
    try {
      body.replaceChildren(...[await load()].flat());
    } catch (problem) {
      body.replaceChildren(alarm(problem, reload));
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

// pages shows a list of the API page after page: show makes a row, none says that there is nothing, found is told how many
// there are in all.
export async function pages(path, query, { show, none, found = () => {}, signal }) {
  const list = h('ul', { class: 'rows' });
  const count = h('p', { class: 'hint' });
  let number = 0;
  let total = 0;
  async function next() {
    const page = await get(path, { ...query, page: number + 1, per_page: 20 }, signal);
    number = page.page;
    total = page.total;
    found(total);
    const rows = page.items.map((item) => h('li', {}, show(item)));
    list.append(...rows);
    count.textContent = `${list.children.length} of ${total}`;
    foot.hidden = page.items.length === 0 || list.children.length >= total;
    return rows;
  }
  const more = button('Show more', async () => {
    try {
      const rows = await next();
      rows[0]?.querySelector('a, button')?.focus();
    } catch (problem) {
      list.after(alarm(problem));
    }
  });
  const foot = h('div', { class: 'buttons', hidden: true }, more, count);
  await next();
  return list.children.length ? [list, foot] : [h('p', { class: 'empty' }, none)];
}
