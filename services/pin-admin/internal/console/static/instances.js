// The list of instances, and the page of one instance with its PIN policy, its skills and its proxy keys.

import { forgetInstanceNames, get, patch, post } from './api.js';
import { channels } from './customer.js';
import { formDialog } from './dialog.js';
import { announce, button, date, h } from './dom.js';
import { form } from './form.js';
import { Problem } from './http.js';
import { keyPanel } from './keys.js';
import { listPage } from './list.js';
import { panel } from './panel.js';
import { skillPanel } from './skills.js';

export function instancesPage() {
  return listPage({
    title: 'Instances', path: '/v1/instances', searchLabel: 'Search by name',
    emptyText: 'No instance found.', actions: [button('New instance', addInstance, { class: 'primary' })],
    row: (instance) => h('a', { class: 'item', href: `#/instances/${instance.id}` },
      h('strong', {}, instance.name), h('span', { class: 'hint' }, 'added ', date(instance.created_at))),
  });
}

async function addInstance() {
  const instance = await formDialog({
    title: 'New instance', submit: 'Add instance',
    fields: [
      { name: 'name', label: 'Name', hint: 'Every skill of the new instance needs a PIN. The PIN policy on its page can change that.' },
      { name: 'owner_customer_id', label: 'Email address of the owner', kind: 'email', hint: 'A customer. Optional' },
    ],
    action: async ({ name, owner_customer_id: owner }) => post('/v1/instances',
      { name: name.trim(), owner_customer_id: await customerID(owner.trim()), enforcement: 'strict' }),
  });
  if (!instance) return;
  announce(`Instance added: ${instance.name}`);
  location.hash = `#/instances/${instance.id}`;
}

// customerID returns the id of the customer with an email address, or null for an empty address.
async function customerID(address) {
  if (!address) return null;
  const { items } = await get('/v1/customers', { search: address, per_page: 100 });
  const found = items.find(({ email }) => email.toLowerCase() === address.toLowerCase());
  if (!found) throw new Problem(422, '', [{ loc: ['body', 'owner_customer_id'], msg: 'No customer has this email address.' }]);
  return found.id;
}

export async function instancePage(id) {
  const path = `/v1/instances/${id}`;
  forgetInstanceNames();
  const instance = await get(path);
  const owner = instance.owner_customer_id && await get(`/v1/customers/${instance.owner_customer_id}`);
  const policy = panel('PIN policy', { load: async () => policyForm(path, await get(`${path}/pin-policy`)) });
  return {
    title: instance.name,
    nodes: [
      h('p', { class: 'crumb' }, h('a', { href: '#/instances' }, 'Instances')),
      h('div', { class: 'head' }, h('h1', { tabindex: '-1' }, instance.name),
        h('div', { class: 'buttons' }, button('Find an identity', () => findIdentity(id)))),
      h('p', { class: 'hint' },
        owner ? ['owned by ', h('a', { href: `#/customers/${owner.id}` }, owner.display_name ?? owner.email)] : 'no owner',
        ' · added ', date(instance.created_at), ' · ', h('a', { href: `#/audit?instance_id=${id}` }, 'Audit trail of this instance'), ' · ',
        h('a', { href: `#/approvals?instance_id=${id}` }, 'Approvals of this instance'), ' · ', h('code', {}, id)),
      policy.element, skillPanel(path),
      keyPanel({
        title: 'Proxy keys', path: `${path}/proxy-keys`, kind: 'proxy key',
        emptyText: 'There are no proxy keys. Without a proxy key, the agent cannot use Countersign.',
      }),
    ],
  };
}

const enforcements = [['strict', 'Every skill, and a person without a PIN is refused (strict)'],
  ['listed', 'Only the protected skills below, and only if a PIN is set (listed)']];
const pinEntries = [['any', 'A page of Countersign, or the agent (any)'], ['page', 'Only a page of Countersign (page)']];
const appliesTo = [['all', 'Everybody'], ['owner', 'Owners only'], ['customer', 'Customers only']];

function policyForm(path, policy) {
  return form({
    label: 'PIN policy', submit: 'Save policy',
    fields: [
      { name: 'pin_applies_to', label: 'Who must enter a PIN', kind: 'select', options: appliesTo, value: policy.pin_applies_to },
      { name: 'enforcement', label: 'Which skills need a PIN', kind: 'select', options: enforcements, value: policy.enforcement },
      { name: 'pin_required_skills', label: 'Protected skills', kind: 'textarea', value: policy.pin_required_skills.join('\n'),
        hint: 'One name per line, without spaces. A name that ends in * matches every skill that begins with the part before the *. '
          + 'Upper and lower case are equal. The list counts only if the policy is listed; then an empty list protects no named skill.' },
      { name: 'pin_session_ttl_minutes', label: 'Length of a PIN session in minutes', kind: 'number', value: policy.pin_session_ttl_minutes,
        attributes: { min: 1, max: 1440, inputmode: 'numeric', class: 'short' }, hint: '1 to 1440' },
      { name: 'pin_entry', label: 'Who may receive a PIN', kind: 'select', options: pinEntries, value: policy.pin_entry,
        hint: 'With any, the agent\'s runtime can set a PIN of an identity itself and then approve with it. So approvals do not protect '
          + 'against the runtime. With page, the runtime can neither check, set nor remove a PIN.' },
      { name: 'approval_known_browser', label: 'People can approve only in a browser in which they gave their PIN before', kind: 'checkbox',
        value: policy.approval_known_browser, hint: 'A browser becomes known when the person completes an enrolment link in it.' },
      { name: 'pin_change_requires_proof', label: 'Agents need the current PIN or a live session to change a PIN', kind: 'checkbox',
        value: policy.pin_change_requires_proof },
      { name: 'kyc_required', label: 'A PIN can be set only after identity verification (KYC)', kind: 'checkbox', value: policy.kyc_required,
        hint: 'Admins can always set a PIN.' },
    ],
    onsubmit: async (values) => {
      const skills = values.pin_required_skills.split('\n').map((line) => line.trim()).filter(Boolean);
      const minutes = values.pin_session_ttl_minutes;
      await patch(`${path}/pin-policy`, { ...values, pin_required_skills: skills, pin_session_ttl_minutes: minutes === '' ? null : Number(minutes) });
      announce('The policy is saved.');
    },
  });
}

// findIdentity asks for an account on a channel and opens the page of its customer.
async function findIdentity(instance) {
  const found = await formDialog({
    title: 'Find an identity', submit: 'Find',
    fields: [
      { name: 'channel', label: 'Channel', kind: 'select', options: channels },
      { name: 'external_id', label: 'External id' },
    ],
    action: async (values) => {
      try {
        return await get('/v1/customers/lookup/identity', { instance_id: instance, ...values });
      } catch (problem) {
        if (problem.status !== 404) throw problem;
        throw new Problem(404, 'This instance has no such identity.');
      }
    },
  });
  if (found) location.hash = `#/customers/${found.customer_id}`;
}
