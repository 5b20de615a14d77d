// The list of proxy keys or API keys, with the dialogs to issue and to revoke a key.

import { post, remove } from './api.js';
import { confirmDialog, formDialog, secretDialog } from './dialog.js';
import { announce, badge, button, h, time } from './dom.js';
import { pagedList, panel } from './panel.js';

const day = 24 * 60 * 60 * 1000;
const lifetimes = [['', 'Never'], ['30', 'In 30 days'], ['90', 'In 90 days'], ['365', 'In a year']];
const scopes = [['read', 'Read: read everything'], ['admin', 'Admin: read and change everything']];

// keyPanel shows the keys at a path of the API. kind is 'proxy key' or 'API key'. scoped says that the keys have scopes.
export function keyPanel({ title, path, kind, emptyText, scoped = false }) {
  async function issue() {
    const fields = [
      { name: 'name', label: 'Name', hint: 'Optional. It helps to recognize the key.' },
      scoped && { name: 'scopes', label: 'Scope', kind: 'select', options: scopes, value: 'read' },
      { name: 'expires_at', label: 'Expires', kind: 'select', options: lifetimes, value: '' },
    ].filter(Boolean);
    const issued = await formDialog({
      title: `New ${kind}`, fields, submit: `Issue ${kind}`,
      action: (values) => post(path, {
        name: values.name.trim() || null,
        expires_at: values.expires_at ? new Date(Date.now() + values.expires_at * day).toISOString() : null,
        ...(scoped && { scopes: [values.scopes] }),
      }),
    });
    if (!issued) return;
    await secretDialog({ title: `The new ${kind}`, secret: issued.key, text: 'Copy the key now. It is not shown again. Store it in a safe place.' });
    announce(`The ${kind} ${issued.prefix}… is issued.`);
    keys.refresh();
  }

  async function revoke(key) {
    const revoked = await confirmDialog({
      title: `Revoke ${key.name ?? key.prefix}?`, submit: 'Revoke',
      text: 'Every later request with this key is refused. This cannot be undone.',
      action: () => remove(`${path}/${key.id}`),
    });
    if (!revoked) return;
    announce(`The ${kind} ${key.prefix}… is revoked.`);
    keys.refresh();
  }

  const row = (key) => [
    h('div', { class: 'item' },
      h('p', {}, h('strong', {}, key.name ?? 'Unnamed'), ' ', stateBadge(key), scoped && key.scopes.map((scope) => [' ', badge(scope)]).flat()),
      h('p', { class: 'hint' }, h('code', {}, `${key.prefix}…`), ' · issued ', time(key.created_at),
        key.expires_at ? [' · expires ', time(key.expires_at)] : null,
        key.last_used_at ? [' · last used ', time(key.last_used_at)] : ' · never used')),
    key.revoked_at ? null : button('Revoke', () => revoke(key), { class: 'quiet', 'aria-label': `Revoke ${key.name ?? key.prefix}` }),
  ].filter(Boolean);

  const keys = panel(title, { actions: [button(`New ${kind}`, issue)], load: () => pagedList(path, {}, { row, emptyText }) });
  return keys.element;
}

function stateBadge(key) {
  if (key.revoked_at) return badge('Revoked', 'bad');
  if (key.expires_at && new Date(key.expires_at) <= new Date()) return badge('Expired', 'warn');
  return badge('Active', 'good');
}
