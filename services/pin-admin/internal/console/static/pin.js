// The state of one PIN, with the buttons to set, remove and unlock it.

import { get, post, remove } from './api.js';
import { confirmDialog, formDialog } from './dialog.js';
import { announce, badge, button, errorBox, h, time } from './dom.js';
import { Problem } from './http.js';

// pinBox shows the PIN of a customer or an identity. path is the PIN's path in the API. holder is the holder's name. withoutPIN
// says what applies when the holder has no PIN. onChange is called after each change.
export function pinBox({ path, holder, withoutPIN, onChange }) {
  const element = h('div', { class: 'pin', role: 'group', 'aria-label': `PIN of ${holder}` });

  async function load() {
    element.setAttribute('aria-busy', 'true');
    try {
      show(await get(path));
    } catch (problem) {
      element.replaceChildren(errorBox(problem, load));
    }
    element.removeAttribute('aria-busy');
  }

  function show(status) {
    element.replaceChildren(h('p', { class: 'state' }, ...describe(status, withoutPIN)), h('div', { class: 'buttons' },
      status.is_locked && button('Unlock', unlock, { class: 'primary' }),
      button(status.has_pin ? 'Replace PIN' : 'Set PIN', set),
      status.has_pin && button('Remove', removePIN, { class: 'quiet' })));
  }

  // changed reloads the state. The old buttons are gone then, so the focus moves to the first new button.
  async function changed(message) {
    announce(message);
    await load();
    element.querySelector('button')?.focus();
    onChange();
  }

  async function set() {
    const done = await formDialog({
      title: `PIN of ${holder}`, submit: 'Set PIN',
      text: 'A new PIN ends the PIN sessions of the old PIN and renews the guess budget.',
      fields: [
        { name: 'pin', label: 'New PIN', kind: 'pin', hint: '4 to 12 digits' },
        { name: 'repeated', label: 'Repeat the PIN', kind: 'pin' },
      ],
      action: async ({ pin, repeated }) => {
        if (pin !== repeated) throw new Problem(422, '', [{ loc: ['body', 'repeated'], msg: 'The two PINs are different.' }]);
        await post(path, { pin });
        return true;
      },
    });
    if (done) await changed(`The PIN of ${holder} is set.`);
  }

  async function removePIN() {
    const done = await confirmDialog({
      title: `Remove the PIN of ${holder}?`, submit: 'Remove PIN',
      text: 'The PIN sessions of this PIN end. If no other PIN applies, strict instances refuse this person, and listed instances do '
        + 'not ask for a PIN.',
      action: () => remove(path),
    });
    if (done) await changed(`The PIN of ${holder} is removed.`);
  }

  async function unlock() {
    const done = await confirmDialog({
      title: `Unlock ${holder}?`, submit: 'Unlock', danger: false,
      text: 'The lock ends and a new set of attempts begins. The next lock still lasts longer.',
      action: () => post(`${path}/unlock`),
    });
    if (done) await changed(`${holder} is unlocked.`);
  }

  load();
  return element;
}

function describe(status, withoutPIN) {
  const parts = [];
  if (status.is_locked) parts.push(badge('Locked', 'warn'), ' until ', time(status.locked_until), '. ');
  if (!status.has_pin) return [...parts, badge('No PIN'), ` ${withoutPIN}`];
  if (!status.is_active && !status.is_locked) parts.push(badge('Deactivated', 'bad'), ' after too many failures. ');
  if (status.is_active && !status.is_locked) parts.push(badge('PIN set', 'good'), ' ');
  return [...parts, 'Set ', time(status.created_at), '.'];
}
