
const shortest = 4;
const longest = 12;
const isPIN = text => /^[0-9]{4,12}$/.test(text);

// fillKeypad adds the keys. They are for thumbs. The field itself is for keyboards, so the Tab key skips the keys.
function fillKeypad(keypad, field) {
  const announceLength = () => announce(field.value.length === 1 ? '1 digit' : `${field.value.length} digits`);
  const key = (label, content, press) => {
    const button = el('button', { type: 'button', className: 'key', tabIndex: -1, 'aria-label': label }, content);
    button.addEventListener('mousedown', event => event.preventDefault()); // the focus stays where it is, so Enter does not repeat the key
    button.addEventListener('click', () => {
      if (field.readOnly) return;
      press();
      field.dispatchEvent(new Event('input'));
      announceLength();
    });
    return button;
  };
  const digit = n => key(n, n, () => { field.value = (field.value + n).slice(0, longest); });
  keypad.append(...['1', '2', '3', '4', '5', '6', '7', '8', '9'].map(digit), el('span', {}), digit('0'),
    key('Delete the last digit', icon('delete'), () => { field.value = field.value.slice(0, -1); }));
  field.addEventListener('input', () => {
    const digits = field.value.replace(/[^0-9]/g, '').slice(0, longest);
    if (digits !== field.value) field.value = digits;
  });
}

// refocus gives a field the focus again, except on a touch screen, whose keyboard would cover the keypad.
function refocus(field) {
  if (matchMedia('(pointer: fine)').matches) field.focus();
}
