// The audit trail with a filter. The newest entry comes first; a button loads older entries.

import { get } from './api.js';
import { badge, button, emptyNotice, errorBox, h, preciseTime } from './dom.js';
import { form } from './form.js';
import { visible } from './shown.js';

const fields = (filter) => [
  { name: 'action', label: 'Action', value: filter.action, hint: 'The full name, for example pin.set' },
  { name: 'customer_id', label: 'Customer id', value: filter.customer_id },
  { name: 'instance_id', label: 'Instance id', value: filter.instance_id },
  { name: 'since', label: 'Since', kind: 'datetime-local', attributes: { step: 1 } },
  { name: 'until', label: 'Until', kind: 'datetime-local', attributes: { step: 1 } },
];

export async function auditPage(filter) {
  const results = h('div', { class: 'body', 'aria-live': 'off' });
  const apply = async (values) => results.replaceChildren(...await trail(values));
  await apply(filter);
  return {
    title: 'Audit trail',
    nodes: [
      h('h1', { tabindex: '-1' }, 'Audit trail'),
      h('section', { class: 'panel', 'aria-label': 'Filter' }, form({
        label: 'Filter', submit: 'Show', fields: fields(filter),
        onsubmit: (values) => apply({
          action: values.action.trim(), customer_id: values.customer_id.trim(), instance_id: values.instance_id.trim(),
          since: toUTC(values.since), until: toUTC(values.until),
        }),
      })),
      h('section', { class: 'panel', 'aria-label': 'Entries' }, results),
    ],
  };
}

// toUTC converts a time in the browser's time zone to UTC in RFC 3339 form.
const toUTC = (local) => (local ? new Date(local).toISOString() : '');

async function trail(filter) {
  const list = h('ol', { class: 'rows trail' });
  const older = button('Older', async () => {
    try {
      (await loadNext())[0]?.focus();
    } catch (problem) {
      list.after(errorBox(problem));
    }
  });
  let cursor;
  async function loadNext() {
    const page = await get('/v1/audit', { ...filter, cursor, limit: 50 });
    const rows = page.items.map(row);
    list.append(...rows);
    cursor = page.next_cursor;
    older.hidden = cursor === null;
    return rows;
  }
  await loadNext();
  return list.children.length ? [list, h('div', { class: 'buttons' }, older)] : [emptyNotice('No entries found.')];
}

const actors = { user: 'a user', api_key: 'an API key', proxy_key: 'an agent', operator: 'the operator', link: 'a person with a link', anonymous: 'an anonymous caller' };
const warnings = /refused|reuse|deactivated|\.locked|wrong_pin|denied/;

function row(entry) {
  const links = [
    entry.customer_id && h('a', { href: `#/customers/${entry.customer_id}` }, 'customer'),
    entry.instance_id && h('a', { href: `#/instances/${entry.instance_id}` }, 'instance'),
  ].filter(Boolean);
  return h('li', { tabindex: '-1' },
    h('div', { class: 'item' },
      h('p', {}, badge(entry.action, warnings.test(entry.action) ? 'warn' : ''), ' by ', actors[entry.actor.kind] ?? entry.actor.kind,
        links.length ? [' · ', links.flatMap((link, i) => (i ? [', ', link] : [link]))].flat() : null),
      h('p', { class: 'hint' }, preciseTime(entry.at), entry.address ? ` · from ${entry.address}` : null)),
    h('details', {}, h('summary', {}, 'Details'), h('dl', {}, detailsOf(entry))));
}

function detailsOf(entry) {
  const all = [
    ['Actor', entry.actor.id], ['Customer', entry.customer_id], ['Identity', entry.identity_id], ['Instance', entry.instance_id],
    ['Target', entry.target_id], ['Request', entry.request_id],
    ...Object.entries(entry.details).map(([name, value]) => [name, visible(typeof value === 'string' ? value : JSON.stringify(value))]),
  ];
  return all.filter(([, value]) => value !== null && value !== '').flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]);
}
