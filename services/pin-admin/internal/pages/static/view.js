
const longValue = 160; // characters

const warnings = {
  hidden_characters: 'This value contains invisible characters. They are shown as ⟨U+…⟩.',
  mixed_scripts: 'This value mixes letters of different alphabets that can look the same. Compare it with care.',
  not_nfc: 'This value uses an unusual spelling of letters with accents. It can look the same as another value.',
};

// valueOf shows a value. A long value is cut, and a button shows all of it.
function valueOf(text) {
  const characters = Array.from(text);
  if (characters.length <= longValue) return [bdi(text, 'value')];
  const value = bdi(`${characters.slice(0, longValue).join('')}…`, 'value');
  const button = el('button', { type: 'button', className: 'more' }, `Show all ${characters.length} characters`);
  button.addEventListener('click', () => {
    value.textContent = text;
    button.remove();
    value.tabIndex = -1;
    value.focus();
  });
  return [value, button];
}

function argumentRow(argument) {
  const flags = argument.flags.map(flag => el('dd', { className: 'warning' }, icon('warning'), warnings[flag] ?? flag));
  return el('div', { className: 'row' }, el('dt', {}, bdi(argument.path)), el('dd', {}, ...valueOf(argument.value)), ...flags);
}

// summaryOf returns the summary. A skill without a template has its name as the summary: nothing, if the title is the same name.
function summaryOf(view) {
  const [first] = view.summary_parts;
  if (view.summary_parts.length === 1 && first.value === view.title && !first.flags?.length) return [];
  return view.summary_parts.map(part => {
    if (part.value === undefined) return part.text;
    return bdi(part.value, part.flags?.length ? 'value flagged' : 'value');
  });
}

// headline returns what the approval allows: one action, or every skill of a session.
function headline(view) {
  if (!view.session) return [bdi(view.title)];
  const skills = view.session.skills === null ? 'all protected skills' : view.session.skills.length === 1 ? '1 protected skill' : `${view.session.skills.length} protected skills`;
  return [`Open ${skills} for ${plural(view.session.minutes, 'minute')}`];
}

// fillView shows what the person is asked to agree to.
function fillView(view) {
  byID('asking').replaceChildren(bdi(view.instance_name, 'strong'), ' asks you to approve');
  byID('title').replaceChildren(...headline(view));
  byID('session').hidden = !view.session;
  if (view.session) {
    byID('opens').textContent = `For that time, the agent may use ${view.session.skills === null ? 'every protected skill, except skills that need an approval each time' : 'these skills'}, as often as it wants, without asking you again.`;
    byID('skills').hidden = view.session.skills === null;
    byID('skills').replaceChildren(...(view.session.skills ?? []).map(skill => el('li', {}, bdi(skill))));
    byID('reason').replaceChildren('The reason: ', bdi(view.title));
  }
  const summary = summaryOf(view);
  byID('summary').replaceChildren(...summary);
  byID('summary').hidden = summary.length === 0;
  byID('arguments').replaceChildren(...view.arguments.map(argumentRow));
  byID('arguments').hidden = view.arguments.length === 0;
  byID('no-arguments').hidden = view.arguments.length > 0;
  const people = [['For', view.customer_name], ['Requested by', view.requester], ['Valid at', view.audience]].filter(([, name]) => name);
  byID('people').replaceChildren(...people
    .map(([label, name]) => el('div', {}, el('dt', {}, label), el('dd', {}, bdi(name)))));
  byID('people').hidden = people.length === 0;
  byID('note').hidden = !view.note;
  byID('note-text').replaceChildren(bdi(view.note ?? ''));
}
