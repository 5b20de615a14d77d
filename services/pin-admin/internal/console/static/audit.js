// The audit trail: newest first, filtered, and older by cursor.

import { get } from './api.js';
import { alarm, badge, button, empty, h, preciseTime } from './dom.js';
import { form } from './form.js';

const fields = (filter) => [
  { name: 'action', label: 'Action', value: filter.action, hint: 'Noun.verb, as pin.set' },
  { name: 'customer_id', label: 'Customer’s id', value: filter.customer_id },
  { name: 'instance_id', label: 'Instance’s id', value: filter.instance_id },
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
          since: instant(values.since), until: instant(values.until),
        }),
      })),
      h('section', { class: 'panel', 'aria-label': 'Entries' }, results),
    ],
  };
}

// instant makes of a time as it is written here one that everybody reads alike.
const instant = (local) => (local ? new Date(local).toISOString() : '');

async function trail(filter) {
  const list = h('ol', { class: 'rows trail' });
  const older = button('Older', async () => {
    try {
      (await next())[0]?.focus();
    } catch (problem) {
      list.after(alarm(problem));
    }
  });
  let cursor;
  async function next() {
    const page = await get('/v1/audit', { ...filter, cursor, limit: 50 });
    const rows = page.items.map(row);
    list.append(...rows);
    cursor = page.next_cursor;
    older.hidden = cursor === null;
    return rows;
  }
  await next();
  return list.children.length ? [list, h('div', { class: 'buttons' }, older)] : [empty('Nothing fits.')];
}

const actors = { user: 'a user', api_key: 'an API key', proxy_key: 'an agent', operator: 'the operator', anonymous: 'somebody not signed in' };
const refusals = /refused|reuse|deactivated|\.locked/;

function row(entry) {
  const about = [
    entry.customer_id && h('a', { href: `#/customers/${entry.customer_id}` }, 'customer'),
    entry.instance_id && h('a', { href: `#/instances/${entry.instance_id}` }, 'instance'),
  ].filter(Boolean);
  return h('li', { tabindex: '-1' },
    h('div', { class: 'what' },
      h('p', {}, badge(entry.action, refusals.test(entry.action) ? 'warn' : ''), ' by ', actors[entry.actor.kind] ?? entry.actor.kind,
        about.length ? [' · ', about.flatMap((link, i) => (i ? [', ', link] : [link]))].flat() : null),
      h('p', { class: 'hint' }, preciseTime(entry.at), entry.address ? ` · from ${entry.address}` : null)),
    h('details', {}, h('summary', {}, 'Details'), h('dl', {}, facts(entry))));
}

function facts(entry) {
  const all = [
    ['Actor', entry.actor.id], ['Customer', entry.customer_id], ['Identity', entry.identity_id], ['Instance', entry.instance_id],
    ['Target', entry.target_id], ['Request', entry.request_id],
    ...Object.entries(entry.details).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  ];
  return all.filter(([, value]) => value !== null && value !== '').flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]);
}
