// Customers: find one, add one.

import { post } from './api.js';
import { fill } from './dialog.js';
import { announce, button, date, h } from './dom.js';
import { listPage } from './list.js';

export function customersPage() {
  return listPage({
    title: 'Customers', at: '/v1/customers', find: 'Search by address or name',
    none: 'There is no such customer.', actions: [button('New customer', add, { class: 'primary' })],
    show: (customer) => h('a', { class: 'what', href: `#/customers/${customer.id}` },
      h('strong', {}, customer.display_name ?? customer.email),
      h('span', { class: 'hint' }, customer.display_name ? `${customer.email} · ` : null, 'since ', date(customer.created_at))),
  });
}

async function add() {
  const customer = await fill({
    title: 'New customer', submit: 'Add customer',
    fields: [
      { name: 'email', label: 'Address', kind: 'email' },
      { name: 'display_name', label: 'Name', hint: 'May be left out.' },
    ],
    action: ({ email, display_name: name }) => post('/v1/customers', { email: email.trim(), display_name: name.trim() || null }),
  });
  if (!customer) return;
  announce(`${customer.display_name ?? customer.email} is added.`);
  location.hash = `#/customers/${customer.id}`;
}
