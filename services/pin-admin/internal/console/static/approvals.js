// The list of approvals with a filter, and the page of one approval.

import { get } from './api.js';
import { badge, h, preciseTime, time } from './dom.js';
import { form } from './form.js';
import { pagedList } from './panel.js';
import { canonical, visible } from './shown.js';

const statuses = [['', 'All'], ['pending', 'Pending'], ['approved', 'Approved, not used yet'], ['used', 'Used'], ['denied', 'Denied'], ['expired', 'Expired'],
  ['cancelled', 'Cancelled']];
const kinds = { approved: 'good', used: 'good', denied: 'bad', pending: 'warn' };
const reasons = { wrong_pin: 'two wrong PINs', person: 'the person said no', pin_changed: 'the PIN was changed or locked after the approval' };

export async function approvalsPage(filter) {
  const results = h('div', { class: 'body' });
  const apply = async (values) => results.replaceChildren(...await pagedList('/v1/approvals', values, { row, emptyText: 'No approvals found.' }));
  const [fields] = await Promise.all([filterFields(filter), apply(filter)]);
  return {
    title: 'Approvals',
    nodes: [
      h('h1', { tabindex: '-1' }, 'Approvals'),
      h('p', { class: 'hint' }, 'Each approval is the question to one person whether an agent may do one action, and the answer.'),
      h('section', { class: 'panel', 'aria-label': 'Filter' }, form({
        label: 'Filter', submit: 'Show', fields,
        onsubmit: (values) => apply({ ...values, customer_id: values.customer_id.trim(), skill: values.skill.trim() }),
      })),
      h('section', { class: 'panel', 'aria-label': 'Approvals' }, results),
    ],
  };
}

async function filterFields(filter) {
  const { items, total } = await get('/v1/instances', { per_page: 100, sort_by: 'name', sort_dir: 'asc' });
  return [
    { name: 'status', label: 'Status', kind: 'select', options: statuses, value: filter.status ?? '' },
    total > items.length // too many for a list
      ? { name: 'instance_id', label: 'Instance id', value: filter.instance_id }
      : { name: 'instance_id', label: 'Instance', kind: 'select', value: filter.instance_id ?? '', options: [['', 'All'], ...items.map(({ id, name }) => [id, name])] },
    { name: 'customer_id', label: 'Customer id', value: filter.customer_id },
    { name: 'skill', label: 'Skill', value: filter.skill },
  ];
}

function row(approval) {
  return h('a', { class: 'item', href: `#/approvals/${approval.id}` },
    h('span', {}, badge(approval.status, kinds[approval.status]), ' ', h('strong', {}, h('bdi', {}, approval.summary))),
    h('span', { class: 'hint' }, h('bdi', {}, approval.customer_email), ' · asked by ', h('bdi', {}, approval.instance_name), ' · ', time(approval.created_at)));
}

export async function approvalPage(id) {
  const approval = await get(`/v1/approvals/${id}`);
  const facts = [
    ['Customer', h('a', { href: `#/customers/${approval.customer_id}` }, approval.customer_email)],
    ['Instance', h('a', { href: `#/instances/${approval.instance_id}` }, approval.instance_name)],
    ['Proxy key', approval.requester], ['Identity', approval.identity_id], ['Skill', visible(approval.skill)],
    ['Audience', approval.audience && visible(approval.audience)],
    ['A use gives', approval.grants === 'session' ? 'a PIN session' : 'a receipt for this action'],
    ['Asked', preciseTime(approval.created_at)],
    ['Answered', approval.decided_at && preciseTime(approval.decided_at)],
    ['Used', approval.used_at && preciseTime(approval.used_at)],
    ['Valid until', ['pending', 'approved'].includes(approval.status) && preciseTime(approval.expires_at)],
    ['Action hash', approval.action_hash],
  ];
  return {
    title: approval.summary,
    nodes: [
      h('p', { class: 'crumb' }, h('a', { href: '#/approvals' }, 'Approvals')),
      h('h1', { tabindex: '-1' }, h('bdi', {}, approval.summary)),
      h('p', {}, badge(approval.status, kinds[approval.status]), approval.reason ? ` ${reasons[approval.reason] ?? approval.reason}` : null, ' ',
        h('a', { href: `#/audit?customer_id=${approval.customer_id}&instance_id=${approval.instance_id}` }, 'Audit trail')),
      section('Who and when', h('dl', {}, facts.filter(([, value]) => value).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, h('bdi', {}, value))]))),
      section('Arguments', canonical(approval.arguments)),
      approval.note && section('The agent says', h('p', {}, h('bdi', {}, visible(approval.note)))),
    ].filter(Boolean),
  };
}

function section(title, content) {
  return h('section', { class: 'panel', 'aria-label': title }, h('h2', {}, title), content);
}
