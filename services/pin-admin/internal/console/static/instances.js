// Instances: find one, add one, and one with its policy and its keys.

import { forgetNames, get, patch, post } from './api.js';
import { channels } from './customer.js';
import { fill } from './dialog.js';
import { announce, button, date, h } from './dom.js';
import { form } from './form.js';
import { Problem } from './http.js';
import { keyPanel } from './keys.js';
import { listPage } from './list.js';
import { panel } from './panel.js';

export function instancesPage() {
  return listPage({
    title: 'Instances', at: '/v1/instances', find: 'Search by name',
    none: 'There is no such instance.', actions: [button('New instance', add, { class: 'primary' })],
    show: (instance) => h('a', { class: 'what', href: `#/instances/${instance.id}` },
      h('strong', {}, instance.name), h('span', { class: 'hint' }, 'since ', date(instance.created_at))),
  });
}

async function add() {
  const instance = await fill({
    title: 'New instance', submit: 'Add instance',
    fields: [
      { name: 'name', label: 'Name' },
      { name: 'owner_customer_id', label: 'Address of its owner', kind: 'email', hint: 'A customer. May be left out.' },
    ],
    action: async ({ name, owner_customer_id: owner }) => post('/v1/instances', { name: name.trim(), owner_customer_id: await customerAt(owner.trim()) }),
  });
  if (!instance) return;
  announce(`${instance.name} is added.`);
  location.hash = `#/instances/${instance.id}`;
}

async function customerAt(address) {
  if (!address) return null;
  const { items } = await get('/v1/customers', { search: address, per_page: 100 });
  const found = items.find(({ email }) => email.toLowerCase() === address.toLowerCase());
  if (!found) throw new Problem(422, '', [{ loc: ['body', 'owner_customer_id'], msg: 'No customer has this address.' }]);
  return found.id;
}

export async function instancePage(id) {
  const at = `/v1/instances/${id}`;
  forgetNames();
  const instance = await get(at);
  const owner = instance.owner_customer_id && await get(`/v1/customers/${instance.owner_customer_id}`);
  const policy = panel('PIN policy', { load: async () => policyForm(at, await get(`${at}/pin-policy`)) });
  return {
    title: instance.name,
    nodes: [
      h('p', { class: 'crumb' }, h('a', { href: '#/instances' }, 'Instances')),
      h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, instance.name),
        h('div', { class: 'buttons' }, button('Find an account', () => findAccount(id)))),
      h('p', { class: 'hint' },
        owner ? ['owned by ', h('a', { href: `#/customers/${owner.id}` }, owner.display_name ?? owner.email)] : 'owned by nobody',
        ' · since ', date(instance.created_at), ' · ', h('a', { href: `#/audit?instance_id=${id}` }, 'Audit trail of this instance'), ' · ', h('code', {}, id)),
      policy.element,
      keyPanel({ title: 'Proxy keys', at: `${at}/proxy-keys`, what: 'proxy key', none: 'There are none: no agent can ask for this instance.' }),
    ],
  };
}

const appliesTo = [['all', 'Everybody'], ['owner', 'Owners only'], ['customer', 'Customers only']];

function policyForm(at, policy) {
  return form({
    label: 'PIN policy', submit: 'Save policy',
    fields: [
      { name: 'pin_applies_to', label: 'Who confirms by PIN', kind: 'select', options: appliesTo, value: policy.pin_applies_to },
      { name: 'pin_required_skills', label: 'Protected skills', kind: 'textarea', value: policy.pin_required_skills.join('\n'),
        hint: 'One a line, without spaces; a name may end in * for all that begin so. None: no skill is protected by name.' },
      { name: 'pin_session_ttl_minutes', label: 'Minutes that a confirmation is remembered', kind: 'number', value: policy.pin_session_ttl_minutes,
        attributes: { min: 1, max: 1440, inputmode: 'numeric', class: 'short' }, hint: '1 to 1440' },
      { name: 'pin_change_requires_proof', label: 'Agents must prove the PIN before they change it', kind: 'checkbox', value: policy.pin_change_requires_proof },
      { name: 'kyc_required', label: 'A PIN is set only for people whose identity is verified', kind: 'checkbox', value: policy.kyc_required,
        hint: 'Admins are not bound by this.' },
    ],
    onsubmit: async (values) => {
      const skills = values.pin_required_skills.split('\n').map((line) => line.trim()).filter(Boolean);
      const minutes = values.pin_session_ttl_minutes;
      await patch(`${at}/pin-policy`, { ...values, pin_required_skills: skills, pin_session_ttl_minutes: minutes === '' ? null : Number(minutes) });
      announce('The policy is saved.');
    },
  });
}

// findAccount goes to the customer whose account on a channel this is.
async function findAccount(instance) {
  const found = await fill({
    title: 'Find an account', submit: 'Find',
    fields: [
      { name: 'channel', label: 'Channel', kind: 'select', options: channels },
      { name: 'external_id', label: 'Id on the channel' },
    ],
    action: async (values) => {
      try {
        return await get('/v1/customers/lookup/identity', { instance_id: instance, ...values });
      } catch (problem) {
        if (problem.status !== 404) throw problem;
        throw new Problem(404, 'Nobody has this account on this instance.');
      }
    },
  });
  if (found) location.hash = `#/customers/${found.customer_id}`;
}
