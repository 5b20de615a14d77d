// What an admin can do so that a customer can approve actions: an enrolment link, with which the customer chooses the PIN, and the
// phrase that a known browser shows.

import { post, put, remove } from './api.js';
import { confirmDialog, formDialog, secretDialog } from './dialog.js';
import { announce, button, h } from './dom.js';

// enrolmentPanel returns the section of a customer. path is the customer's path in the API.
export function enrolmentPanel(path, id, name) {
  async function issueLink() {
    let link;
    const issued = await confirmDialog({
      title: `New enrolment link for ${name}?`, submit: 'Make the link', danger: false,
      text: 'With the link, a person chooses the PIN of this customer, so no admin needs to know it. The link works once, for 24 hours. '
        + 'An earlier link ends now. Send it only to the customer: whoever opens it first chooses the PIN.',
      action: async () => { link = await post(`${path}/pin/enrolment`); },
    });
    if (!issued) return;
    await secretDialog({ title: 'The enrolment link', label: 'The link', secret: link.url, text: 'Copy the link now. It is not shown again. It works once, for 24 hours.' });
    announce(`The enrolment link of ${name} is made.`);
  }

  async function setPhrase() {
    const set = await formDialog({
      title: `Phrase of ${name}`, submit: 'Set phrase',
      text: 'A page of Countersign shows this phrase in a browser in which the customer gave the PIN before. So the customer can notice a false page.',
      fields: [{ name: 'phrase', label: 'New phrase', attributes: { maxlength: 100 }, hint: 'Known to the customer, and never a password' }],
      action: async (values) => {
        await put(`${path}/phrase`, values);
        return true;
      },
    });
    if (set) announce(`The phrase of ${name} is set.`);
  }

  async function removePhrase() {
    const removed = await confirmDialog({ title: `Remove the phrase of ${name}?`, submit: 'Remove phrase', text: 'Pages then show no phrase to this customer.', action: () => remove(`${path}/phrase`) });
    if (removed) announce(`The phrase of ${name} is removed.`);
  }

  return h('section', { class: 'panel', 'aria-label': 'Approvals' },
    h('div', { class: 'head' }, h('h2', {}, 'Approvals'), h('div', { class: 'buttons' }, button('New enrolment link', issueLink),
      button('Set phrase', setPhrase), button('Remove phrase', removePhrase, { class: 'quiet' }))),
    h('p', { class: 'hint' }, 'With an enrolment link, the customer chooses the PIN. The phrase is never shown here. ',
      h('a', { href: `#/approvals?customer_id=${id}` }, 'Approvals of this customer')));
}
