
"use strict";
// The columns of a cell; the first seven can be filtered by.
const SLOT = 0, DENIED = 1, KIND = 2, SRC = 3, DST = 4, SERVICE = 5, RULE = 6;
const MEASURES = { flows: 7, bytes: 9, packets: 8 };
const LISTS = { [SRC]: "src_ip", [DST]: "dst_ip", [SERVICE]: "service", [RULE]: "rule" };
const TITLES = ["Time", "Action", "Traffic", "Source", "Destination", "Service", "Rule"];
const SHOWN = 12, MAX_TABLE_ROWS = 500, OTHERS = -1;

const data = JSON.parse(document.getElementById("data").textContent);
const last = data.cells.reduce((most, cell) => Math.max(most, cell[SLOT]), 0);
let measure = "flows";
const chosen = new Map(); // by column: the first and the last value that a cell may have
const opened = new Set(); // the cards whose tables are open
let chart = null;

// Every text goes in as a text node, never as HTML: names in logs are anybody's.
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "click") node.addEventListener("click", value);
    else if (value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// ---- Text

const full = (number) => number.toLocaleString("en");
function short(number, unit = measure) {
  const units = unit === "bytes" ? ["", " kB", " MB", " GB", " TB", " PB", " EB"] : ["", "k", "M", "G", "T", "P", "E"];
  let power = 0;
  while (number >= 999.5 && power < units.length - 1) { number /= 1000; power += 1; }
  return (power && number < 9.95 ? number.toFixed(1) : Math.round(number).toLocaleString("en")) + units[power];
}
const utc = (ms, from, to) => new Date(ms).toISOString().slice(from, to).replace("T", " ");
const when = (slot) => utc(data.first_ms + slot * data.width_s * 1000, 0, data.width_s % 86400 ? 16 : 10);
function width() {
  if (data.width_s % 86400 === 0) return `${data.width_s / 86400} d`;
  return data.width_s % 3600 === 0 ? `${data.width_s / 3600} h` : `${data.width_s / 60} min`;
}
function name(column, value) {
  if (column === SLOT) return when(value);
  if (column === DENIED) return value ? "denied" : "allowed";
  if (column === KIND) return data.kinds[value];
  return value < 0 ? "others" : data.names[LISTS[column]][value];
}
const split = (pair) => `${full(pair[0])} allowed, ${full(pair[1])} denied`;

// ---- Filters and sums

function cells(...own) { // what all filters let through but those of the chart's own columns
  const filters = [...chosen].filter(([column]) => !own.includes(column));
  return data.cells.filter((cell) => filters.every(([column, [from, to]]) => from <= cell[column] && cell[column] <= to));
}
function sums(some, key, column = MEASURES[measure]) { // by key: what was allowed and what was denied
  const found = new Map();
  for (const cell of some) {
    const at = key(cell);
    if (!found.has(at)) found.set(at, [0, 0]);
    found.get(at)[cell[DENIED]] += cell[column];
  }
  return found;
}
const total = (pair) => pair[0] + pair[1];
const plus = (pairs) => pairs.reduce((sum, pair) => [sum[0] + pair[0], sum[1] + pair[1]], [0, 0]);
function ranked(found) { // largest first, others last
  return [...found].filter(([, pair]) => total(pair) > 0)
    .sort((a, b) => (a[0] === OTHERS) - (b[0] === OTHERS) || total(b[1]) - total(a[1]) || a[0] - b[0]);
}
const isChosen = (column, from, to = from) => chosen.has(column) && chosen.get(column)[0] === from && chosen.get(column)[1] === to;
function choose(...pairs) {
  const isOn = pairs.every(([column, from, to]) => isChosen(column, from, to));
  for (const [column, from, to = from] of pairs) isOn ? chosen.delete(column) : chosen.set(column, [from, to]);
  draw();
}
function filter(attributes, pairs, ...children) { // a button that filters; others cannot be chosen
  if (pairs.some(([, from]) => from === OTHERS)) return make("div", { ...attributes, class: `${attributes.class || ""} rest` }, ...children);
  return make("button", {
    ...attributes, type: "button", "data-filter": JSON.stringify(pairs), click: () => choose(...pairs),
    "aria-pressed": String(pairs.every(([column, from, to]) => isChosen(column, from, to))),
  }, ...children);
}

// ---- Tables and cards

function csv(columns, rows) {
  const cell = (value) => {
    let text = String(value);
    // A spreadsheet takes a text that begins like this for a formula (OWASP, "CSV Injection").
    if (typeof value === "string" && /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
async function copy(text, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // of a page that is opened from a file, some browsers refuse that
    const area = make("textarea", { readonly: "" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  button.textContent = done ? "Copied" : "Could not copy";
}
// `rows` are arrays of texts and numbers; `pairs`, if given, is what the first cell of each filters by.
function table(columns, rows, pairs) {
  const cell = (value, at, row) => {
    const text = make("bdi", {}, typeof value === "number" ? full(value) : value);
    const can = at === 0 && pairs && pairs[row].every(([, from]) => from !== OTHERS);
    return make("td", { class: typeof value === "number" ? "n" : undefined },
      can ? filter({ class: "text" }, pairs[row], text) : text);
  };
  return make("div", { class: "scroll" }, make("table", { class: "data" },
    make("thead", {}, make("tr", {}, ...columns.map((column, at) =>
      make("th", { class: rows.length && typeof rows[0][at] === "number" ? "n" : undefined }, column)))),
    make("tbody", {}, ...rows.slice(0, MAX_TABLE_ROWS).map((row, number) =>
      make("tr", {}, ...row.map((value, at) => cell(value, at, number)))))));
}
function card(id, title, note, content, columns, rows, pairs, wide) {
  const button = make("button", { type: "button", click: () => copy(csv(columns, rows), button) }, "Copy as CSV");
  const hidden = rows.length - MAX_TABLE_ROWS;
  const details = make("details", {}, make("summary", {}, `Table: ${full(rows.length)} ${rows.length === 1 ? "row" : "rows"}`),
    button, hidden > 0 ? make("span", { class: "note" }, ` The CSV has all rows; ${full(hidden)} are not shown.`) : null);
  const open = () => details.append(table(columns, rows, pairs));
  if (opened.has(id)) { details.open = true; open(); }
  details.addEventListener("toggle", () => {
    if (!details.open) return void opened.delete(id);
    if (!opened.has(id)) open();
    opened.add(id);
  });
  return make("section", { id, class: wide ? "wide" : undefined }, make("h2", {}, title),
    make("p", { class: "note" }, note), content, details);
}

// ---- Charts

function list(id, title, column, some, unit = measure) {
  const found = ranked(sums(some, (cell) => cell[column], MEASURES[unit]));
  const top = found.filter(([value], at) => value !== OTHERS && at < SHOWN);
  const rest = plus(found.slice(top.length).map(([, pair]) => pair));
  const shown = total(rest) ? [...top, [OTHERS, rest]] : top;
  const most = Math.max(1, ...top.map(([, pair]) => total(pair)));
  const bar = (kind, value) => {
    const part = make("i", { class: kind });
    part.style.width = `${Math.min(100, 100 * value / most)}%`;
    return part;
  };
  const content = make("div", {}, ...shown.map(([value, pair]) => filter({
    class: chosen.has(column) && !isChosen(column, value) ? "row dim" : "row", title: `${name(column, value)}: ${split(pair)}`,
  }, [[column, value]], make("bdi", {}, name(column, value)),
  value === OTHERS ? make("span", {}) : make("span", { class: "bar" }, bar("allow", pair[0]), bar("deny", pair[1])),
  make("span", { class: "n" }, short(total(pair), unit)))));
  if (!shown.length) content.append(make("p", { class: "note" }, "None."));
  return card(id, title, unit, content, [TITLES[column].toLowerCase(), `allowed ${unit}`, `denied ${unit}`],
    found.map(([value, pair]) => [name(column, value), ...pair]), found.map(([value]) => [[column, value]]));
}

function overTime() {
  const found = sums(cells(SLOT), (cell) => cell[SLOT]);
  const slots = [...found].sort((a, b) => a[0] - b[0]);
  return card("time", "Traffic over time", `${measure} per ${width()}, UTC. To filter, click on a bar or drag over several.`,
    make("div", { id: "over-time" }), ["time", `allowed ${measure}`, `denied ${measure}`],
    slots.map(([slot, pair]) => [when(slot), ...pair]), slots.map(([slot]) => [[SLOT, slot]]), true);
}
function drawOverTime() { // once its place is in the page and has a width
  chart?.destroy();
  const place = document.getElementById("over-time"), found = sums(cells(SLOT), (cell) => cell[SLOT]);
  const style = getComputedStyle(document.documentElement), color = (key) => style.getPropertyValue(`--${key}`).trim();
  const starts = Array.from({ length: last + 1 }, (_, slot) => data.first_ms / 1000 + slot * data.width_s);
  const pairs = starts.map((_, slot) => found.get(slot) || [0, 0]);
  const bars = uPlot.paths.bars({ size: [0.9, 60], align: 1 });
  const series = (label, key, at) => ({
    label, fill: color(key), width: 0, paths: bars, points: { show: false },
    value: (_, __, ___, slot) => slot === null ? "–" : full(pairs[slot][at]),
  });
  const slotAt = (left) => Math.min(last, Math.max(0, Math.floor((chart.posToVal(left, "x") - starts[0]) / data.width_s)));
  const shade = (plot) => { // behind the slots that are chosen
    if (!chosen.has(SLOT)) return;
    const [from, to] = chosen.get(SLOT), x = (slot) => plot.valToPos(starts[0] + slot * data.width_s, "x", true);
    plot.ctx.fillStyle = color("chosen");
    plot.ctx.fillRect(x(from), plot.bbox.top, x(to + 1) - x(from), plot.bbox.height);
  };
  const label = (seconds, step, isFirst) => { // a day, or a time with its day where one begins
    const day = utc(seconds * 1000, 0, 10), time = utc(seconds * 1000, 11, 16);
    return step >= 86400 ? day : isFirst || time === "00:00" ? `${time}\n${day}` : time;
  };
  const steps = [60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, ...[1, 2, 7, 14, 30, 91, 365, 3650, 36500].map((days) => days * 86400)];
  const axis = { stroke: color("faint"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 } };
  chart = new uPlot({
    width: Math.max(200, place.clientWidth), height: 220, padding: [8, 36, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { range: [starts[0], starts[last] + data.width_s] }, y: { range: (_, __, most) => [0, Math.max(1, most)] } },
    // The bars of what was allowed are drawn over those of both together.
    series: [{ label: "from", value: (_, __, ___, slot) => slot === null ? "–" : when(slot) }, series("denied", "deny", 1), series("allowed", "allow", 0)],
    axes: [{ ...axis, space: 90, incrs: steps.filter((step) => step >= Math.min(data.width_s, 365 * 86400)), values: (_, ticks, __, ___, step) => ticks.map((tick, at) => label(tick, step, at === 0)) }, { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => Number.isInteger(tick) ? short(tick) : "") }],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    hooks: {
      drawClear: [shade],
      setSelect: [(plot) => {
        if (plot.select.width < 2) return;
        choose([SLOT, slotAt(plot.select.left), slotAt(plot.select.left + plot.select.width)]);
      }],
    },
  }, [starts, pairs.map(total), pairs.map((pair) => pair[0])], place);
  chart.over.addEventListener("click", (event) => {
    const slot = slotAt(event.clientX - chart.over.getBoundingClientRect().left);
    if (chart.select.width < 2) choose([SLOT, slot]);
  });
}

function matrix() {
  const some = cells(SRC, DST);
  const top = (column) => ranked(sums(some, (cell) => cell[column])).map(([value]) => value).filter((value) => value !== OTHERS).slice(0, SHOWN);
  const sources = top(SRC), destinations = top(DST);
  const found = sums(some, (cell) => `${cell[SRC]} ${cell[DST]}`);
  const folded = sums(some, (cell) => `${sources.includes(cell[SRC]) ? cell[SRC] : OTHERS} ${destinations.includes(cell[DST]) ? cell[DST] : OTHERS}`);
  const of = (src, dst) => folded.get(`${src} ${dst}`) || [0, 0];
  const most = Math.max(1, ...sources.flatMap((src) => destinations.map((dst) => total(of(src, dst)))));
  const square = (src, dst) => {
    const pair = of(src, dst);
    if (!total(pair)) return make("td", {});
    const named = src !== OTHERS && dst !== OTHERS;
    const shade = make("i", { class: pair[1] > pair[0] ? "deny" : "allow" });
    shade.style.opacity = named ? 0.15 + 0.6 * Math.log1p(total(pair)) / Math.log1p(most) : 0;
    return make("td", {}, filter({ title: `${name(SRC, src)} to ${name(DST, dst)}: ${split(pair)}` },
      [[SRC, src], [DST, dst]], shade, make("span", {}, short(total(pair)))));
  };
  const withOthers = (values, has) => has ? [...values, OTHERS] : values;
  const down = withOthers(sources, [...folded.keys()].some((key) => key.startsWith("-1 ")));
  const across = withOthers(destinations, [...folded.keys()].some((key) => key.endsWith(" -1")));
  const heading = (column, value) => make("th", { title: name(column, value) }, make("bdi", {}, name(column, value)));
  const content = make("div", { class: "scroll" }, make("table", { class: "matrix" },
    make("thead", {}, make("tr", {}, make("td", {}), ...across.map((dst) => heading(DST, dst)))),
    make("tbody", {}, ...down.map((src) => make("tr", {}, heading(SRC, src), ...across.map((dst) => square(src, dst)))))));
  const rows = [...found].filter(([, pair]) => total(pair) > 0).sort((a, b) => total(b[1]) - total(a[1]))
    .map(([key, pair]) => [key.split(" ").map(Number), pair]);
  return card("matrix", "Who talks to whom", `${measure} from the source of the row to the destination of the column; red if more was denied than allowed`,
    content, ["source", "destination", `allowed ${measure}`, `denied ${measure}`],
    rows.map(([[src, dst], pair]) => [name(SRC, src), name(DST, dst), ...pair]), rows.map(([[src, dst]]) => [[SRC, src], [DST, dst]]), true);
}

function newPorts() {
  const ports = data.new_ports, index = (port) => data.names.service.indexOf(port.service);
  const content = make("div", {}, ...ports.slice(0, SHOWN).map((port) => filter(
    { class: "row ports", title: `first from ${port.src_ip} to ${port.dst_ip}` }, [[SERVICE, index(port)]],
    make("bdi", {}, port.service), make("span", {}, utc(port.first_minute * 60000, 5, 16)), make("span", { class: "n" }, short(port.flows, "flows")))));
  if (!ports.length) content.append(make("p", { class: "note" }, "None."));
  const left = data.new_ports_found - ports.length;
  return card("new-ports", "New ports", `services first allowed after the first quarter of the period, when, and their flows; filters do not apply${left ? `; ${full(left)} more are not listed` : ""}`,
    content, ["service", "first time", "first source", "first destination", "flows", "bytes"],
    ports.map((port) => [port.service, utc(port.first_minute * 60000, 0, 16), port.src_ip, port.dst_ip, port.flows, port.bytes]),
    ports.map((port) => [[SERVICE, index(port)]]));
}

// ---- The page

function toolbar() {
  const filters = [...chosen].map(([column, [from, to]]) => make("button",
    { type: "button", class: "filter", "aria-pressed": "true", title: "Remove this filter", click: () => choose([column, from, to]) },
    `${TITLES[column]}: `, make("bdi", {}, from === to ? name(column, from) : `${name(column, from)} to ${name(column, to + 1)}`), " ×"));
  document.getElementById("toolbar").replaceChildren(
    ...Object.keys(MEASURES).map((each) => make("button", { type: "button", "data-filter": each, "aria-pressed": String(each === measure), click: () => { measure = each; draw(); } }, each)),
    ...filters,
    chosen.size > 1 ? make("button", { type: "button", "aria-pressed": "false", click: () => { chosen.clear(); draw(); } }, "Remove all filters") : "",
    chosen.size ? "" : make("span", { class: "note" }, "Click on anything to filter the page."),
    make("span", { class: "key" }, make("i", { class: "allow" }), "allowed", make("i", { class: "deny" }), "denied"));
}
function draw() {
  const focused = document.activeElement, within = focused?.closest("[id]")?.id, key = focused?.getAttribute?.("data-filter");
  const only = (column, denied) => cells(column).filter((cell) => cell[DENIED] === denied);
  const stack = (...sections) => make("div", { class: "stack" }, ...sections);
  toolbar();
  document.getElementById("charts").replaceChildren(
    overTime(),
    list("sources", "Top sources", SRC, cells(SRC)),
    list("destinations", "Top destinations", DST, cells(DST)),
    list("services", "Top services", SERVICE, cells(SERVICE)),
    list("denied-sources", "Denied by source", SRC, only(SRC, 1), "flows"),
    stack(list("denied-rules", "Denied by rule", RULE, only(RULE, 1), "flows"),
      list("allowed-rules", "Allowed by rule", RULE, only(RULE, 0)),
      list("kinds", "Internal and internet", KIND, cells(KIND)), list("actions", "Allowed and denied", DENIED, cells(DENIED))),
    newPorts(),
    matrix());
  drawOverTime();
  if (key) document.getElementById(within)?.querySelector(`[data-filter='${CSS.escape(key)}']`)?.focus();
}
function say() {
  const sum = (column) => data.cells.reduce((sofar, cell) => sofar + cell[column], 0);
  document.getElementById("summary").textContent = `${when(0)} to ${when(last + 1)} UTC. ${full(data.records)} records, ${full(sum(MEASURES.flows))} flows, `
    + `${full(sum(MEASURES.packets))} packets, ${full(sum(MEASURES.bytes))} bytes. Made by flowlog report on ${data.made} UTC.`;
  const notes = document.getElementById("notes");
  for (const [column, dimension] of Object.entries(LISTS)) {
    const kept = data.names[dimension].length, left = data.found[dimension] - kept;
    if (left) notes.append(make("p", {}, `${TITLES[column]}: ${full(kept)} of ${full(data.found[dimension])} are named; the other ${full(left)} are summed as others.`));
  }
  if (data.summed_flows) notes.append(make("p", {}, `The rarest combinations, ${full(data.summed_flows)} flows in all, are summed as others in every list. Traffic over time, allowed and denied, and internal and internet are complete.`));
  notes.append(make("p", {}, "A flow is counted when it begins. Packets and bytes are those of both directions; denied flows have none."));
}

say();
draw();
addEventListener("resize", () => chart.setSize({ width: Math.max(200, document.getElementById("over-time").clientWidth), height: 220 }));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("beforeprint", () => { document.documentElement.classList.add("print"); draw(); chart.setSize({ width: 680, height: 220 }); });
addEventListener("afterprint", () => { document.documentElement.classList.remove("print"); draw(); });
