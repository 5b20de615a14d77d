// Keys: a list of them, issuing one, revoking one. Proxy keys and API keys differ in little.

import { post, remove } from './api.js';
import { fill, reveal, sure } from './dialog.js';
import { announce, badge, button, h, time } from './dom.js';
import { pages, panel } from './panel.js';

const day = 24 * 60 * 60 * 1000;
const lifetimes = [['', 'Never'], ['30', 'In 30 days'], ['90', 'In 90 days'], ['365', 'In a year']];
const scopes = [['read', 'Read: see everything, change nothing'], ['admin', 'Admin: everything']];

// keyPanel shows the keys at a path. what names one: "proxy key"; scoped: they have scopes.
export function keyPanel({ title, at, what, none, scoped = false }) {
  async function issue() {
    const fields = [
      { name: 'name', label: 'Name', hint: 'So that people can tell keys apart.' },
      scoped && { name: 'scopes', label: 'May', kind: 'select', options: scopes, value: 'read' },
      { name: 'expires_at', label: 'Expires', kind: 'select', options: lifetimes, value: '' },
    ].filter(Boolean);
    const issued = await fill({
      title: `New ${what}`, fields, submit: `Issue ${what}`,
      action: (values) => post(at, {
        name: values.name.trim() || null,
        expires_at: values.expires_at ? new Date(Date.now() + values.expires_at * day).toISOString() : null,
        ...(scoped && { scopes: [values.scopes] }),
      }),
    });
    if (!issued) return;
    await reveal({ title: `The new ${what}`, secret: issued.key, text: 'It is shown this once. Keep it where secrets are kept.' });
    announce(`The ${what} ${issued.prefix}… is issued.`);
    keys.refresh();
  }

  async function revoke(key) {
    const was = await sure({
      title: `Revoke ${key.name ?? key.prefix}?`, submit: 'Revoke',
      text: 'Whoever uses it is refused from the next request on. This cannot be taken back.',
      action: () => remove(`${at}/${key.id}`),
    });
    if (!was) return;
    announce(`The ${what} ${key.prefix}… is revoked.`);
    keys.refresh();
  }

  const show = (key) => [
    h('div', { class: 'what' },
      h('p', {}, h('strong', {}, key.name ?? 'Without a name'), ' ', stateOf(key), scoped && key.scopes.map((scope) => [' ', badge(scope)]).flat()),
      h('p', { class: 'hint' }, h('code', {}, `${key.prefix}…`), ' · issued ', time(key.created_at),
        key.expires_at ? [' · expires ', time(key.expires_at)] : null,
        key.last_used_at ? [' · last used ', time(key.last_used_at)] : ' · never used')),
    key.revoked_at ? null : button('Revoke', () => revoke(key), { class: 'quiet', 'aria-label': `Revoke ${key.name ?? key.prefix}` }),
  ].filter(Boolean);

  const keys = panel(title, { actions: [button(`New ${what}`, issue)], load: () => pages(at, {}, { show, none }) });
  return keys.element;
}

function stateOf(key) {
  if (key.revoked_at) return badge('Revoked', 'bad');
  if (key.expires_at && new Date(key.expires_at) <= new Date()) return badge('Expired', 'warn');
  return badge('Active', 'good');
}
