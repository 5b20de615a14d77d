// The PIN of a customer or of an identity: its state, and the three things that are done to one.

import { get, post, remove } from './api.js';
import { fill, sure } from './dialog.js';
import { alarm, announce, badge, button, h, time } from './dom.js';
import { Problem } from './http.js';

// pinOf shows it. at is the path of its holder, whose the holder's name, none what it means to have no PIN; changed is
// called after each change.
export function pinOf({ at, whose, none, changed }) {
  const element = h('div', { class: 'pin', role: 'group', 'aria-label': `PIN of ${whose}` });

  async function load() {
    try {
      show(await get(`${at}/pin`));
    } catch (problem) {
      element.replaceChildren(alarm(problem, load));
    }
  }

  function show(status) {
    element.replaceChildren(h('p', { class: 'state' }, ...stateOf(status, none)), h('div', { class: 'buttons' },
      status.is_locked && button('Unlock', unlock, { class: 'primary' }),
      button(status.has_pin ? 'Replace PIN' : 'Set PIN', set),
      status.has_pin && button('Remove', take, { class: 'quiet' })));
  }

  // After a change the buttons are new ones, and the focus goes to the first.
  async function done(text) {
    announce(text);
    await load();
    element.querySelector('button')?.focus();
    changed();
  }

  async function set() {
    const was = await fill({
      title: `PIN of ${whose}`, submit: 'Set PIN',
      text: 'Ends the PIN sessions that rest on the PIN before, and renews the attempts.',
      fields: [
        { name: 'pin', label: 'New PIN', kind: 'pin', hint: '4 to 12 digits' },
        { name: 'repeated', label: 'The same again', kind: 'pin' },
      ],
      action: async ({ pin, repeated }) => {
        if (pin !== repeated) throw new Problem(422, '', [{ loc: ['body', 'repeated'], msg: 'This is not the same as above.' }]);
        await post(`${at}/pin`, { pin });
        return true;
      },
    });
    if (was) await done(`The PIN of ${whose} is set.`);
  }

  async function take() {
    const was = await sure({
      title: `Remove the PIN of ${whose}?`, submit: 'Remove PIN',
      text: 'Without a PIN that applies, agents ask for none. The PIN sessions that rest on it end.',
      action: () => remove(`${at}/pin`),
    });
    if (was) await done(`The PIN of ${whose} is removed.`);
  }

  async function unlock() {
    const was = await sure({
      title: `Unlock ${whose}?`, submit: 'Unlock', danger: false,
      text: 'The lock ends and there are new attempts. The next lock is longer all the same.',
      action: () => post(`${at}/pin/unlock`),
    });
    if (was) await done(`${whose} is unlocked.`);
  }

  load();
  return element;
}

function stateOf(status, none) {
  const state = [];
  if (status.is_locked) state.push(badge('Locked', 'warn'), ' until ', time(status.locked_until), '. ');
  if (!status.has_pin) return [...state, badge('No PIN'), ` ${none}`];
  if (!status.is_active && !status.is_locked) state.push(badge('Deactivated', 'bad'), ' after too many failures. ');
  if (status.is_active && !status.is_locked) state.push(badge('PIN set', 'good'), ' ');
  return [...state, 'Set ', time(status.created_at), '.'];
}
