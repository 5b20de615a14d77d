// One customer: the PIN, the live PIN sessions, the identities with PINs of their own.

import { get, instanceName, post, remove } from './api.js';
import { fill, sure } from './dialog.js';
import { announce, badge, button, date, empty, h, time } from './dom.js';
import { pages, panel } from './panel.js';
import { pinOf } from './pin.js';

export const channels = [['telegram', 'Telegram'], ['whatsapp', 'WhatsApp'], ['voice', 'Voice'], ['sms', 'SMS'], ['email', 'Email'], ['web_chat', 'Web chat']];
const roles = [['', 'By ownership'], ['owner', 'Owner'], ['customer', 'Customer']];
const channelName = (channel) => channels.find(([key]) => key === channel)?.[1] ?? channel;

export async function customerPage(id) {
  const customer = await get(`/v1/customers/${id}`);
  const name = customer.display_name ?? customer.email;
  const at = `/v1/customers/${id}`;
  const sessions = sessionPanel(at, name);
  const changed = () => sessions.reload();
  const pin = panel('PIN', { load: async () => pinOf({ at, whose: name, none: 'Agents ask this customer for none.', changed }) });
  return {
    title: name,
    nodes: [
      h('p', { class: 'crumb' }, h('a', { href: '#/customers' }, 'Customers')),
      h('h1', { tabindex: '-1' }, name),
      h('p', { class: 'hint' }, customer.display_name ? `${customer.email} · ` : null, 'since ', date(customer.created_at), ' · ',
        h('a', { href: `#/audit?customer_id=${id}` }, 'Audit trail of this customer'), ' · ', h('code', {}, id)),
      pin.element, sessions.element, identityPanel(at, changed),
    ],
  };
}

function sessionPanel(at, name) {
  const end = button('End all sessions', async () => {
    const was = await sure({
      title: `End all PIN sessions of ${name}?`, submit: 'End all',
      text: 'The next protected skill asks for the PIN again.', action: () => remove(`${at}/sessions`),
    });
    if (!was) return;
    announce(`The PIN sessions of ${name} are ended.`);
    sessions.refresh();
  });
  const sessions = panel('Live PIN sessions', {
    actions: [end],
    async load() {
      const page = await get(`${at}/sessions`, { per_page: 100 });
      end.hidden = page.total === 0;
      if (page.total === 0) return empty('There are none: the next protected skill asks for the PIN.');
      const rows = await Promise.all(page.items.map(async (session) => h('li', {}, h('div', { class: 'what' },
        h('strong', {}, await instanceName(session.instance_id)),
        h('p', { class: 'hint' }, time(session.since), ' to ', time(session.until),
          session.identity_id ? [' · identity ', h('code', {}, session.identity_id)] : ' · for the customer as such')))));
      const more = page.total - page.items.length;
      return [h('ul', { class: 'rows' }, rows), more > 0 ? empty(`And ${more} older ones.`) : ''];
    },
  });
  return sessions;
}

function identityPanel(at, changed) {
  const show = (identity) => {
    const name = identity.display_name ?? identity.external_id;
    const where = h('a', { href: `#/instances/${identity.instance_id}` }, '…');
    instanceName(identity.instance_id).then((text) => { where.textContent = text; });
    return [
      h('div', { class: 'what' },
        h('p', {}, h('strong', {}, name), ' ', badge(channelName(identity.channel)), identity.verified && [' ', badge('Verified', 'good')],
          identity.role_override && [' ', badge(identity.role_override)]),
        h('p', { class: 'hint' }, h('code', {}, identity.external_id), ' on ', where)),
      pinOf({ at: `${at}/identities/${identity.id}`, whose: `${name} on ${channelName(identity.channel)}`, none: 'of its own: the customer’s applies.', changed }),
    ];
  };
  const identities = panel('Identities', {
    actions: [button('New identity', async () => {
      const identity = await addIdentity(at);
      if (!identity) return;
      announce(`${identity.external_id} is added.`);
      identities.refresh();
    })],
    load: () => pages(`${at}/identities`, {}, { show, none: 'No agent knows this customer yet.' }),
  });
  return identities.element;
}

async function addIdentity(at) {
  const { items, total } = await get('/v1/instances', { per_page: 100, sort_by: 'name', sort_dir: 'asc' });
  return fill({
    title: 'New identity', submit: 'Add identity',
    fields: [
      total > items.length // too many to choose from
        ? { name: 'instance_id', label: 'Id of the instance' }
        : { name: 'instance_id', label: 'Instance', kind: 'select', options: items.map(({ id, name }) => [id, name]) },
      { name: 'channel', label: 'Channel', kind: 'select', options: channels },
      { name: 'external_id', label: 'Id on the channel', hint: 'As the channel gives it: a user number, a phone number, an address.' },
      { name: 'display_name', label: 'Name', hint: 'May be left out.' },
      { name: 'role_override', label: 'Role', kind: 'select', options: roles, hint: 'By ownership: owner when the customer owns the instance, else customer.' },
      { name: 'verified', label: 'Verified: it is known to be theirs', kind: 'checkbox' },
    ],
    action: (values) => post(`${at}/identities`, { ...values, display_name: values.display_name.trim() || null, role_override: values.role_override || null }),
  });
}
