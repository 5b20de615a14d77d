// The list of customers, and the dialog that adds a customer.

import { post } from './api.js';
import { formDialog } from './dialog.js';
import { announce, button, date, h } from './dom.js';
import { listPage } from './list.js';

export function customersPage() {
  return listPage({
    title: 'Customers', path: '/v1/customers', searchLabel: 'Search by email address or name',
    emptyText: 'No customer found.', actions: [button('New customer', addCustomer, { class: 'primary' })],
    row: (customer) => h('a', { class: 'item', href: `#/customers/${customer.id}` },
      h('strong', {}, customer.display_name ?? customer.email),
      h('span', { class: 'hint' }, customer.display_name ? `${customer.email} · ` : null, 'added ', date(customer.created_at))),
  });
}

async function addCustomer() {
  const customer = await formDialog({
    title: 'New customer', submit: 'Add customer',
    fields: [
      { name: 'email', label: 'Email address', kind: 'email' },
      { name: 'display_name', label: 'Name', hint: 'Optional' },
    ],
    action: ({ email, display_name: name }) => post('/v1/customers', { email: email.trim(), display_name: name.trim() || null }),
  });
  if (!customer) return;
  announce(`Customer added: ${customer.display_name ?? customer.email}`);
  location.hash = `#/customers/${customer.id}`;
}
