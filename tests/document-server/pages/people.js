// Who writes here.

const NAMES = ['Badger', 'Crane', 'Finch', 'Hare', 'Heron', 'Lynx', 'Marten', 'Newt', 'Otter', 'Robin', 'Vole', 'Wren'];
// White can be read on each of them.
const COLORS = ['#c2410c', '#0f766e', '#7c3aed', '#be185d', '#1d4ed8', '#4d7c0f', '#a16207', '#475569'];

const any = (list) => list[Math.floor(Math.random() * list.length)];

/** Who this page is, `{ name, color }`: whom it was before it was loaded again, or somebody new. */
export function whoIAm() {
  const { name, color } = sessionStorage;
  return { name: name ?? any(NAMES), color: color ?? any(COLORS) };
}

/** Keeps it for when the page is loaded again. */
export function remember({ name, color }) {
  Object.assign(sessionStorage, { name, color });
}

/** That person, but with a name and a color that none of the others has, as far as there are enough. */
export function distinct({ name, color }, others) {
  return {
    name: free(NAMES, name, others.map((other) => other.name)),
    color: free(COLORS, color, others.map((other) => other.color)),
  };
}

function free(all, wanted, taken) {
  if (!taken.includes(wanted)) return wanted;
  const left = all.filter((one) => !taken.includes(one));
  return left.length ? any(left) : wanted;
}

/** The list of people, its first one this page's own, whose name can be changed. */
export class People {
  #list;
  #me;

  /** `renamed` is called with a new name. */
  constructor(list, template, renamed) {
    this.#list = list;
    this.#me = template.content.firstElementChild.cloneNode(true);
    const input = this.#me.querySelector('input');
    input.addEventListener('change', () => renamed(input.value.trim() || any(NAMES)));
    input.addEventListener('keydown', ({ key }) => key === 'Enter' && input.blur());
    list.append(this.#me);
  }

  show(me, others) {
    const input = this.#me.querySelector('input');
    if (document.activeElement !== input) input.value = me.name;
    this.#me.style.setProperty('--color', me.color);
    const items = others.map(({ name, color }) => {
      const item = document.createElement('li');
      item.textContent = name;
      item.style.setProperty('--color', color);
      return item;
    });
    // Its own entry stays in place, or a name that is being written would lose the focus.
    this.#list.replaceChildren(this.#me, ...items);
  }
}
