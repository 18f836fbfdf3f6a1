"use strict";
// Everything that comes from the dataset is set as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const grid = document.querySelector(".grid");
const figures = [...grid.children];
const figureOf = new Map(figures.map((figure) => [figure.dataset.row, figure]));
const drawn = [...figures];
const conditions = [];

function make(tag, text, parent) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

const shown = (value) => (value === null ? "null" : typeof value === "number" ? number(value) : String(value));
const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(7))));
const valueOf = (figure, at) => data.rows[figure.dataset.row][at];

function tell(figure, values) {
  const caption = figure.querySelector("figcaption");
  for (const it of caption.querySelectorAll(".value")) it.remove();
  for (const words of values) make("bdi", words, caption).className = "value";
}

// Strips and examples are copies of the grid's pictures.
for (const row of document.querySelectorAll(".row[data-rows]")) {
  const labels = row.dataset.labels?.split("|");
  row.dataset.rows.split(" ").forEach((name, at) => {
    if (!figureOf.has(name)) return;
    const figure = figureOf.get(name).cloneNode(true);
    row.append(figure);
    if (labels) tell(figure, [labels[at]]);
  });
  for (const figure of row.children) figure.classList.remove("extra");
}

const operators = [
  { name: "contains", kinds: ["text"], test: (a, b) => a.toLowerCase().includes(b.toLowerCase()), sql: (c, v) => `STRPOS(LOWER(${c}), LOWER(${text(v)})) > 0` },
  { name: "=", kinds: ["number", "text", "flag"], test: (a, b) => a === b, sql: (c, v, k) => `${c} = ${literal(v, k)}` },
  { name: "≠", kinds: ["number", "text", "flag"], test: (a, b) => a !== b, sql: (c, v, k) => `${c} != ${literal(v, k)}` },
  { name: "<", kinds: ["number", "time"], test: (a, b) => a < b, sql: (c, v, k) => `${spelled(c, k)} < ${literal(v, k)}` },
  { name: "≤", kinds: ["number"], test: (a, b) => a <= b, sql: (c, v, k) => `${c} <= ${literal(v, k)}` },
  { name: ">", kinds: ["number"], test: (a, b) => a > b, sql: (c, v, k) => `${c} > ${literal(v, k)}` },
  { name: "≥", kinds: ["number", "time"], test: (a, b) => a >= b, sql: (c, v, k) => `${spelled(c, k)} >= ${literal(v, k)}` },
  { name: "is null", test: (a) => a === null, sql: (c) => `${c} IS NULL`, alone: true },
  { name: "is not null", test: (a) => a !== null, sql: (c) => `${c} IS NOT NULL`, alone: true },
];
const text = (value) => `'${String(value).replaceAll("'", "''")}'`;
// Times are compared by their letters, from the year on, as Polars and this page spell them.
const spelled = (column, kind) => (kind === "time" ? `CAST(${column} AS VARCHAR)` : column);
const literal = (value, kind) =>
  kind === "number" || kind === "flag" ? String(value) : text(kind === "time" ? value.replace("T", " ") : value);
function quoted(words) {
  if (/^[\w@%+=:,./-]+$/.test(words)) return words;
  return words.includes("'") && !/["$`\\!]/.test(words) ? `"${words}"` : `'${words.replaceAll("'", `'"'"'`)}'`;
}
const fits = (operator, kind) => !operator.kinds || operator.kinds.includes(kind);

const searched = new Map();
function wordsOf(figure) {
  const row = figure.dataset.row;
  if (!searched.has(row)) {
    const words = [figure.querySelector(".id").textContent, ...data.rows[row].flatMap((value) => [shown(value), String(value)])];
    searched.set(row, words.join("\n").toLowerCase());
  }
  return searched.get(row);
}

function passes(figure) {
  return conditions.every(({ at, operator, value }) => {
    const found = valueOf(figure, at);
    return operator.alone ? operator.test(found) : found !== null && operator.test(found, value);
  });
}

function expression() {
  const parts = conditions.map(({ at, operator, value }) => operator.sql(data.columns[at].sql, value, data.columns[at].kind));
  if (data.where && parts.length) parts.unshift(`(${data.where})`);
  return parts.join(" AND ");
}

// How many rows of the whole dataset fit, where the page knows it.
function whole() {
  if (figures.length === data.total) return null;
  const [{ at, operator, value }, ...others] = conditions;
  const { nulls, counts } = data.columns[at];
  if (others.length || $("search").value.trim()) return null;
  if (operator.alone && nulls !== null) return operator.test(null) ? nulls : data.total - nulls;
  return operator.name === "=" && Object.hasOwn(counts, value) ? counts[value] : null;
}

function found(count) {
  const rows = figures.length === data.total ? `all ${number(data.total)} rows` : `${number(figures.length)} pictures of this page`;
  const all = conditions.length ? whole() : null;
  const more = all !== null ? `; ${number(all)} of all ${number(data.total)} rows` : `, which does not have all of ${number(data.total)} rows`;
  return `${number(count)} of ${rows}${figures.length === data.total ? "" : more}`;
}

function refresh() {
  const words = $("search").value.trim().toLowerCase();
  const sorted = $("sort").value;
  const is_all = !words && !conditions.length && !sorted;
  const told = new Set(conditions.map(({ at }) => at));
  if (sorted) told.add(Number(sorted));
  else if (data.sort !== null) told.add(data.sort);
  let count = 0;
  grid.classList.toggle("hides", is_all);
  for (const figure of figures) {
    const is_shown = is_all || ((!words || wordsOf(figure).includes(words)) && passes(figure));
    figure.hidden = !is_shown;
    if (is_shown) tell(figure, [...told].map((at) => `${data.columns[at].name}: ${shown(valueOf(figure, at))}`));
    count += is_shown && !(is_all && figure.classList.contains("extra"));
  }
  const beside = figures.length - figures.filter((it) => !it.classList.contains("extra")).length;
  $("count").textContent = is_all
    ? `${number(count)} pictures` + (beside ? `; sort, search and filter look at ${number(beside)} more, those of the strips and examples` : "")
    : found(count);
  document.querySelector(".filter").hidden = !conditions.length;
  const where = expression();
  $("python").textContent = `arrowimg.scan(${JSON.stringify(data.path)}).filter(pl.sql_expr(${JSON.stringify(where)}))`;
  $("shell").textContent = `arrowimg reshard ${quoted(data.path)} NEW --where ${quoted(where)}`;
  $("again").textContent = `arrowimg view ${quoted(data.path)} --where ${quoted(where)} -o ${data.file}${data.total > 200 ? ` --sample ${Math.min(data.total, data.sample)}` : ""}`;
  keep();
  $("conditions").replaceChildren(
    ...conditions.map((condition, at) => {
      const item = make("li");
      const { operator, value } = condition;
      const words = `${data.columns[condition.at].name} ${operator.name}${operator.alone ? "" : ` ${shown(value)}`}`;
      const button = make("button", `${words}  ✕`, item);
      button.type = "button";
      button.setAttribute("aria-label", `Remove the condition ${words}`);
      button.addEventListener("click", () => {
        conditions.splice(at, 1);
        refresh();
        $("column").focus();
      });
      return item;
    }),
  );
}

function order() {
  const at = $("sort").value;
  const sign = $("down").checked ? -1 : 1;
  const sorted = [...drawn];
  if (at !== "") {
    // What has no value comes last, whichever way.
    sorted.sort((a, b) => {
      const [x, y] = [valueOf(a, at), valueOf(b, at)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  } else if (sign < 0) sorted.reverse();
  grid.append(...sorted);
  refresh();
}

// A page that is loaded again has its filter still; what another page left is not taken.
function keep() {
  const kept = conditions.map(({ at, operator, value }) => [at, operator.name, value]);
  const state = { search: $("search").value, sort: $("sort").value, down: $("down").checked, kept };
  try {
    history.replaceState(state, "");
  } catch {
    // A frame in a notebook has no history.
  }
}

function restore() {
  const state = history.state;
  if (!state) return;
  for (const name of ["search", "sort"]) $(name).value = state[name];
  $("down").checked = state.down;
  for (const [at, name, value] of state.kept) conditions.push({ at, operator: operators.find((it) => it.name === name), value });
}

function read(raw, kind) {
  if (kind === "number") return raw.trim() === "" ? NaN : Number(raw);
  if (kind === "flag") return raw.trim().toLowerCase() === "true" ? true : raw.trim().toLowerCase() === "false" ? false : NaN;
  return kind === "time" ? raw.trim().replace(" ", "T") : raw;
}

function offerOperators() {
  const kind = data.columns[$("column").value].kind;
  $("operator").replaceChildren(
    ...operators.map((operator, at) => [operator, at]).filter(([it]) => fits(it, kind)).map(([it, at]) => {
      const option = make("option", it.name);
      option.value = at;
      return option;
    }),
  );
  offerValue();
}

function offerValue() {
  $("value").disabled = Boolean(operators[$("operator").value].alone);
}

function add(event) {
  event.preventDefault();
  const at = Number($("column").value);
  const operator = operators[$("operator").value];
  const value = operator.alone ? null : read($("value").value, data.columns[at].kind);
  const is_wrong = Number.isNaN(value);
  $("value").setCustomValidity(is_wrong ? `${data.columns[at].name} is a ${data.columns[at].kind}` : "");
  if (is_wrong) return $("value").reportValidity();
  conditions.push({ at, operator, value });
  refresh();
}

const dialog = $("row");
let current = null;
function open(figure) {
  current = figure;
  $("row-title").textContent = current.querySelector(".id").textContent;
  const large = dialog.querySelector(".large");
  const stack = make("div");
  stack.className = "stack";
  large.replaceChildren(stack);
  const [picture, ...others] = current.querySelectorAll("img");
  if (picture) {
    const copy = picture.cloneNode();
    copy.alt = "the picture, small";
    copy.removeAttribute("width");
    copy.removeAttribute("height");
    stack.append(copy);
  } else make("p", current.querySelector(".none").textContent, stack);
  const mark = current.querySelector(".mark");
  if (mark) make("p", mark.textContent, large);
  for (const other of others) {
    const copy = other.cloneNode();
    copy.className = "";
    copy.alt = other.dataset.name;
    const label = make("label", undefined, large);
    const box = make("input", undefined, label);
    box.type = "checkbox";
    label.append(` ${other.dataset.name}, laid over the picture`);
    large.append(copy);
    box.addEventListener("change", () => {
      copy.classList.toggle("over", box.checked);
      (box.checked ? stack : large).append(copy);
    });
  }
  const body = dialog.querySelector("tbody");
  body.replaceChildren();
  data.columns.forEach((column, at) => {
    const line = make("tr", undefined, body);
    const head = make("th", column.name, line);
    head.scope = "row";
    make("td", shown(valueOf(current, at)), line);
  });
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  const there = [...current.parentElement.children].filter((it) => it.offsetParent !== null || it === current);
  const next = there[(there.indexOf(current) + by + there.length) % there.length];
  open(next);
}

async function copy(button) {
  const words = button.dataset.copy ?? $(button.dataset.from).textContent;
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    // A page that is opened from disk may have no clipboard.
    const area = make("textarea", words, document.body);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
}

for (const [at, column] of data.columns.entries()) {
  for (const id of column.sql ? ["sort", "column"] : ["sort"]) {
    const option = make("option", column.name, $(id));
    option.value = at;
  }
}
document.addEventListener("click", (event) => {
  const look = event.target.closest(".look");
  const button = event.target.closest(".copy");
  if (look) open(look.closest("figure"));
  if (button) copy(button);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
$("close").addEventListener("click", () => dialog.close());
$("before").addEventListener("click", () => step(-1));
$("after").addEventListener("click", () => step(1));
$("search").addEventListener("input", refresh);
$("sort").addEventListener("change", order);
$("down").addEventListener("change", order);
$("column").addEventListener("change", offerOperators);
$("operator").addEventListener("change", offerValue);
$("value").addEventListener("input", () => $("value").setCustomValidity(""));
document.querySelector(".tools").addEventListener("submit", add);
$("extreme")?.addEventListener("change", (event) => {
  document.querySelectorAll(".ends-of").forEach((it, at) => (it.hidden = at !== Number(event.target.value)));
});
for (const part of document.querySelectorAll(".tools, .extremes")) part.hidden = false;
// What is closed prints, too.
const closed = [...document.querySelectorAll("details:not([open])")];
addEventListener("beforeprint", () => closed.forEach((it) => (it.open = true)));
addEventListener("hashchange", keep);
offerOperators();
restore();
order();
