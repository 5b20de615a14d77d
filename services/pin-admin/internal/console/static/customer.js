// The page of one customer: the PIN, the live PIN sessions, and the identities with their own PINs.

import { get, instanceName, post, remove } from './api.js';
import { confirmDialog, formDialog } from './dialog.js';
import { announce, badge, button, date, emptyNotice, h, time } from './dom.js';
import { enrolmentPanel } from './enrolment.js';
import { pagedList, panel } from './panel.js';
import { pinBox } from './pin.js';

export const channels = [['telegram', 'Telegram'], ['whatsapp', 'WhatsApp'], ['voice', 'Voice'], ['sms', 'SMS'], ['email', 'Email'], ['web_chat', 'Web chat']];
const roles = [['', 'Default'], ['owner', 'Owner'], ['customer', 'Customer']];
const channelName = (channel) => channels.find(([key]) => key === channel)?.[1] ?? channel;

export async function customerPage(id) {
  const path = `/v1/customers/${id}`;
  const customer = await get(path);
  const name = customer.display_name ?? customer.email;
  const sessions = sessionPanel(path, name);
  const onChange = () => sessions.reload(); // a change of a PIN ends its sessions
  const pin = panel('PIN', {
    load: async () => pinBox({ path: `${path}/pin`, holder: name, onChange,
      withoutPIN: 'Strict instances refuse this customer. Listed instances do not ask this customer for a PIN.' }),
  });
  return {
    title: name,
    nodes: [
      h('p', { class: 'crumb' }, h('a', { href: '#/customers' }, 'Customers')),
      h('h1', { tabindex: '-1' }, name),
      h('p', { class: 'hint' }, customer.display_name ? `${customer.email} · ` : null, 'added ', date(customer.created_at), ' · ',
        h('a', { href: `#/audit?customer_id=${id}` }, 'Audit trail of this customer'), ' · ', h('code', {}, id)),
      pin.element, enrolmentPanel(path, id, name), sessions.element, identityPanel(path, onChange),
    ],
  };
}

function sessionPanel(path, name) {
  const end = button('End all sessions', async () => {
    const ended = await confirmDialog({
      title: `End all PIN sessions of ${name}?`, submit: 'End all',
      text: 'Agents then ask for the PIN before the next protected skill.', action: () => remove(`${path}/sessions`),
    });
    if (!ended) return;
    announce(`All PIN sessions of ${name} have ended.`);
    sessions.refresh();
  });
  const sessions = panel('Live PIN sessions', {
    actions: [end],
    async load() {
      const page = await get(`${path}/sessions`, { per_page: 100 });
      end.hidden = page.total === 0;
      if (page.total === 0) return emptyNotice('There are no live PIN sessions.');
      const rows = await Promise.all(page.items.map(async (session) => h('li', {}, h('div', { class: 'item' },
        h('strong', {}, await instanceName(session.instance_id)),
        h('p', { class: 'hint' }, time(session.since), ' to ', time(session.until),
          session.identity_id ? [' · identity ', h('code', {}, session.identity_id)] : ' · no identity')))));
      const hidden = page.total - page.items.length;
      return [h('ul', { class: 'rows' }, rows), hidden > 0 ? emptyNotice(`Older sessions that are not shown: ${hidden}`) : ''];
    },
  });
  return sessions;
}

function identityPanel(path, onChange) {
  const row = (identity) => {
    const name = identity.display_name ?? identity.external_id;
    const instance = h('a', { href: `#/instances/${identity.instance_id}` }, '…');
    instanceName(identity.instance_id).then((text) => { instance.textContent = text; });
    return [
      h('div', { class: 'item' },
        h('p', {}, h('strong', {}, name), ' ', badge(channelName(identity.channel)), identity.verified && [' ', badge('Verified', 'good')],
          identity.role_override && [' ', badge(identity.role_override)]),
        h('p', { class: 'hint' }, h('code', {}, identity.external_id), ' on ', instance)),
      pinBox({
        path: `${path}/identities/${identity.id}/pin`, holder: `${name} on ${channelName(identity.channel)}`,
        withoutPIN: 'If the customer has a PIN, it applies.', onChange,
      }),
    ];
  };
  const identities = panel('Identities', {
    actions: [button('New identity', async () => {
      const identity = await addIdentity(path);
      if (!identity) return;
      announce(`Identity added: ${identity.external_id}`);
      identities.refresh();
    })],
    load: () => pagedList(`${path}/identities`, {}, { row, emptyText: 'This customer has no identities.' }),
  });
  return identities.element;
}

async function addIdentity(path) {
  const { items, total } = await get('/v1/instances', { per_page: 100, sort_by: 'name', sort_dir: 'asc' });
  return formDialog({
    title: 'New identity', submit: 'Add identity',
    fields: [
      total > items.length // too many for a list
        ? { name: 'instance_id', label: 'Instance id' }
        : { name: 'instance_id', label: 'Instance', kind: 'select', options: items.map(({ id, name }) => [id, name]) },
      { name: 'channel', label: 'Channel', kind: 'select', options: channels },
      { name: 'external_id', label: 'External id', hint: 'The account on the channel: a user id, a phone number or an email address' },
      { name: 'display_name', label: 'Name', hint: 'Optional' },
      { name: 'role_override', label: 'Role', kind: 'select', options: roles, hint: 'Default: owner if the customer owns the instance, otherwise customer' },
      { name: 'verified', label: 'Verified: the account is known to belong to the customer', kind: 'checkbox' },
    ],
    action: (values) => post(`${path}/identities`, { ...values, display_name: values.display_name.trim() || null, role_override: values.role_override || null }),
  });
}
