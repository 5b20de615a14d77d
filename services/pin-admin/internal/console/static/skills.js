// The registered skills of an instance, with an editor and a live preview of what a person is asked.

import { get, post, put, remove } from './api.js';
import { confirmDialog, formDialog } from './dialog.js';
import { announce, badge, button, emptyNotice, errorBox, h, time } from './dom.js';
import { Problem } from './http.js';
import { pagedList, panel } from './panel.js';
import { argumentList, summaryText } from './shown.js';

const modes = [['session', 'A PIN session (session)'], ['approval', 'An approval of each single action (approval)'], ['open', 'Nothing (open)']];
const previewDelay = 300; // milliseconds after the last key

export function skillPanel(path) {
  async function edit(skill) {
    const saved = await editSkill(path, skill);
    if (!saved) return;
    announce(`The skill ${saved.skill} is saved.`);
    skills.refresh();
  }

  async function removeSkill({ skill }) {
    const removed = await confirmDialog({
      title: `Remove ${skill}?`, submit: 'Remove',
      text: 'The policy then decides alone whether the skill needs a PIN. Approvals that were asked before are not changed.',
      action: () => remove(`${path}/skills/${encodeURIComponent(skill)}`),
    });
    if (!removed) return;
    announce(`The skill ${skill} is removed.`);
    skills.refresh();
  }

  const row = (skill) => [
    h('div', { class: 'item' },
      h('p', {}, h('strong', {}, skill.skill), ' ', badge(skill.mode, { approval: 'good', open: 'warn' }[skill.mode])),
      h('p', { class: 'hint' }, skill.title ? [h('bdi', {}, skill.title), ' · '] : null,
        skill.summary ? [h('bdi', {}, skill.summary), ' · '] : null, 'changed ', time(skill.updated_at))),
    h('div', { class: 'buttons' },
      button('Edit', () => edit(skill), { 'aria-label': `Edit ${skill.skill}` }),
      button('Remove', () => removeSkill(skill), { class: 'quiet', 'aria-label': `Remove ${skill.skill}` })),
  ];

  const skills = panel('Skills', {
    actions: [button('New skill', () => edit(null))],
    load: () => pagedList(`${path}/skills`, {}, { row, emptyText: 'No skill is registered. The PIN policy decides alone which skills need a PIN.' }),
  });
  return skills.element;
}

// editSkill shows the editor. It resolves to the saved skill, or to null. skill is null for a new skill.
function editSkill(path, skill) {
  const preview = livePreview(path);
  return formDialog({
    title: skill ? `Skill ${skill.skill}` : 'New skill', submit: 'Save skill', extra: preview.element, onedit: preview.update,
    fields: [
      { name: 'skill', label: 'Name', value: skill?.skill, attributes: { maxlength: 255, readonly: skill !== null },
        hint: skill ? 'The name cannot be changed.' : 'As the agent names it, for example payments.transfer' },
      { name: 'mode', label: 'What the skill needs', kind: 'select', options: modes, value: skill?.mode ?? 'approval' },
      { name: 'title', label: 'Title', value: skill?.title, attributes: { maxlength: 100 }, hint: 'What the person reads first. Optional; otherwise the name' },
      { name: 'summary', label: 'Summary', value: skill?.summary, attributes: { maxlength: 500 },
        hint: 'A sentence with arguments in braces: Send {amount} {currency} to {to.name}. Optional' },
      { name: 'arguments', label: 'JSON Schema of the arguments', kind: 'textarea', value: skill?.arguments && JSON.stringify(skill.arguments, null, 2),
        hint: 'Arguments that do not match are refused. Optional' },
      { name: 'audience', label: 'Audience', value: skill?.audience, attributes: { maxlength: 255 },
        hint: 'The tool server that checks the receipt. Optional; otherwise the agent names it' },
      { name: 'example', label: 'Example arguments', kind: 'textarea', value: '{}', hint: 'For the preview only. They are not saved.' },
    ],
    action: async (values) => {
      preview.stop();
      const name = values.skill.trim();
      if (!name) throw new Problem(422, '', [{ loc: ['body', 'skill'], msg: 'A name is needed.' }]);
      if (!skill && await exists(`${path}/skills/${encodeURIComponent(name)}`)) {
        throw new Problem(409, '', [{ loc: ['body', 'skill'], msg: 'A skill with this name is registered already. Edit it instead.' }]);
      }
      return put(`${path}/skills/${encodeURIComponent(name)}`, encode(definition(values)));
    },
  });
}

async function exists(path) {
  try {
    await get(path);
    return true;
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    return false;
  }
}

// definition returns the fields of a skill as JSON texts.
function definition({ mode, title, summary, arguments: schema, audience }) {
  const optional = (text) => JSON.stringify(text.trim() || null);
  return {
    mode: JSON.stringify(mode), title: optional(title), summary: optional(summary), audience: optional(audience),
    arguments: schema.trim() ? json('arguments', schema) : 'null',
  };
}

// encode joins fields that are JSON texts. It keeps what the user typed: JSON.parse would round numbers and drop repeated names.
const encode = (fields) => `{${Object.entries(fields).map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;

// json returns the text of a field if it is JSON.
function json(field, text) {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Problem(422, '', [{ loc: ['body', field], msg: `This is not valid JSON. ${error.message}` }]);
  }
  return text;
}

// livePreview returns {element, update, stop}. update asks the server for a preview when the user stops typing.
function livePreview(path) {
  const body = h('div', { class: 'body', 'aria-live': 'polite' }, emptyNotice('Loading…'));
  const element = h('section', { class: 'preview', 'aria-label': 'Preview' }, h('h3', {}, 'What the person reads'), body);
  let timer;
  let newest = 0; // counts the edits, so that a late answer does not replace a newer one

  function update(values, showErrors) {
    clearTimeout(timer);
    const edit = newest += 1;
    timer = setTimeout(async () => {
      let shown;
      let problem = null;
      try {
        const { audience, ...template } = definition(values);
        const example = json('example', values.example.trim() || '{}');
        shown = previewOf(await post(`${path}/skills/preview`, encode({ skill: JSON.stringify(values.skill.trim() || 'skill'), ...template, example })));
      } catch (error) {
        problem = error;
      }
      if (edit !== newest) return;
      showErrors(problem?.issues?.length ? problem : null);
      if (shown) body.replaceChildren(...shown);
      else if (!problem.issues?.length) body.replaceChildren(errorBox(problem));
      else body.replaceChildren(emptyNotice('There is no preview until the errors are corrected.'));
    }, previewDelay);
  }

  function stop() {
    clearTimeout(timer);
    newest += 1;
  }
  return { element, update, stop };
}

function previewOf({ title, summary_parts: parts, arguments: args, missing }) {
  return [
    h('p', {}, h('strong', {}, h('bdi', {}, title))),
    parts.length > 0 && h('p', {}, summaryText(parts)),
    missing.length > 0 && h('p', { class: 'notice' }, `The example has no value for ${missing.map((name) => `{${name}}`).join(', ')}.`),
    argumentList(args),
  ].filter(Boolean);
}
