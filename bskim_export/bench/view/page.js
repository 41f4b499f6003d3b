// Shows the report that is in this file. Texts of the data set are put in as text, never as markup.
"use strict";
const $ = (id) => document.getElementById(id);
const report = JSON.parse($("data").textContent);
const whole = report.summary.parts[0];
const layers = report.summary.kept_blocks.length;
const GROUPS = {
  lost: "Lost by skimming: right when dense, wrong when skimming",
  slow: "The slowest of the others",
  rest: "All others",
};
const WHICH = {
  all: () => true,
  lost: (q) => q.group === "lost",
  won: (q) => q.skim.em > q.dense.em,
  differ: (q) => q.dense.text !== q.skim.text,
  wrong: (q) => !q.dense.em && !q.skim.em,
};
const AT_ONCE = 100; // rows that are put into the page before somebody asks for more
const ANSWER = 1, DENSE = 2, EXPECTED = 4;

const count = (number) => number.toLocaleString("en");
const percent = (share) => `${Math.round(100 * share)} %`;
const signed = (number, digits) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(digits)}`;
const times = (ratio) => `${ratio.toFixed(2)}×`;

function make(name, text, ...classes) {
  const made = document.createElement(name);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

function line(head, ...cells) {
  const row = document.createElement("tr");
  const first = make("th", head);
  first.scope = "row";
  row.append(first, ...cells.map((cell) => (typeof cell === "string" ? make("td", cell) : cell)));
  return row;
}

function showSummary() {
  const { summary, options } = report;
  document.title = `Dense and skimming: ${report.dataset}`;
  const made = [
    `${count(whole.questions)} questions of ${report.dataset}`, `bundle ${report.bundle} (${report.source})`, report.backend,
    `windows of ${options.max_seq_len}`, `seed ${report.seed}`, `bskim-export ${report.version}`,
  ];
  if (report.left_out) made.push(`${count(report.left_out)} questions of the data set cannot be run and are left out`);
  $("about").textContent = `${made.join(" · ")}.`;
  const { dense, skim } = whole.rows;
  const seconds = summary.seconds;
  const difference = (mean, [low, high]) => {
    const cell = make("td", signed(mean, 2));
    cell.append(make("span", `95 %: ${signed(low, 2)} to ${signed(high, 2)}`, "interval"));
    return cell;
  };
  const ratio = (whole, own, better, worse) => (own <= whole ? `${times(whole / own)} ${better}` : `${times(own / whole)} ${worse}`);
  $("scores").tBodies[0].append(
    line("EM", dense.em.toFixed(2), skim.em.toFixed(2), difference(summary.em_difference, summary.em_interval)),
    line("F1", dense.f1.toFixed(2), skim.f1.toFixed(2), difference(whole.f1_difference, whole.interval)),
    line("GMACs a question", dense.gmacs_per_question.toFixed(2), skim.gmacs_per_question.toFixed(2), ratio(dense.gmacs_per_question, skim.gmacs_per_question, "fewer", "more")),
    line("ms a question", ...[seconds.dense, seconds.skim].map((s) => ((1e3 * s) / whole.questions).toFixed(1)), ratio(seconds.dense, seconds.skim, "faster", "slower")),
    line("seconds in all", seconds.dense.toFixed(1), seconds.skim.toFixed(1), ""),
  );
  const facts = [
    `Answers that differ: ${count(whole.different_answers)}.`,
    `Right answers lost: ${count(report.questions.filter(WHICH.lost).length)}, won: ${count(report.questions.filter(WHICH.won).length)}.`,
    `Windows that left early: ${count(summary.left)} of ${count(summary.windows)} (${((100 * summary.left) / summary.windows).toFixed(1)} %).`,
    "Intervals are a paired bootstrap over questions.",
    `Each question was timed alone, dense and skimming in turns, ${report.repeats > 1 ? `the median of ${report.repeats} runs` : "once"}.`,
  ];
  $("facts").textContent = facts.join(" ");
  const others = report.summary.parts.slice(1).map((part) => line(
    `F1 ${part.part}`, part.rows.dense.f1.toFixed(2), part.rows.skim.f1.toFixed(2), difference(part.f1_difference, part.interval),
  ));
  $("scores").tBodies[0].rows[1].after(...others);
  $("layers").tBodies[0].append(...summary.kept_blocks.map((share, layer) => {
    const bar = make("span", "", "bar");
    bar.style.width = `${100 * share}%`;
    const cell = document.createElement("td");
    cell.append(bar);
    return line(`${layer}`, `${(100 * share).toFixed(1)} %`, cell);
  }));
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// Round numbers that divide a range into that many parts, more or less, and how many digits they need.
function ticks(low, high, parts) {
  const rough = (high - low) / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return [found, Math.max(0, -Math.floor(Math.log10(step)))];
}

function showCurve() {
  const { curve } = report;
  if (!curve) return;
  $("curve").hidden = false;
  const points = [...curve.points].sort((a, b) => a.gmacs - b.gmacs);
  const [dense] = curve.points;
  const named = ({ factor }) => (factor === 0 ? "dense" : factor === 1 ? "as it is" : `×${factor}`);
  const chart = $("chart");
  const width = Math.max(300, Math.min(640, chart.parentElement.clientWidth)); // so that a phone has letters of full size
  chart.setAttribute("viewBox", `0 0 ${width} 320`);
  const [left, right, top, bottom] = [56, width - 24, 14, 270];
  const most = 1.05 * Math.max(...points.map((p) => p.gmacs));
  const scores = points.map((p) => p.f1);
  const room = Math.max(0.5, 0.12 * (Math.max(...scores) - Math.min(...scores)));
  const low = Math.max(0, Math.min(...scores) - room);
  const high = Math.min(100, Math.max(...scores) + room);
  const x = (gmacs) => left + (gmacs / most) * (right - left);
  const y = (f1) => bottom - ((f1 - low) / (high - low)) * (bottom - top);
  const [across, acrossDigits] = ticks(0, most, width > 450 ? 5 : 3);
  const [up, upDigits] = ticks(low, high, 5);
  for (const value of across) {
    chart.append(drawn("text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, value.toFixed(acrossDigits)));
    chart.append(drawn("line", { x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4, class: "axis" }));
  }
  for (const value of up) {
    chart.append(drawn("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "grid" }));
    chart.append(drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(upDigits)));
  }
  chart.append(
    drawn("path", { d: `M${left} ${top}V${bottom}H${right}`, class: "axis" }),
    drawn("text", { x: (left + right) / 2, y: bottom + 40, "text-anchor": "middle" }, "GMACs a question"),
    drawn("text", { x: 14, y: (top + bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(top + bottom) / 2})` }, "F1"),
    drawn("polyline", { points: points.map((p) => `${x(p.gmacs)},${y(p.f1)}`).join(" "), class: "line" }),
  );
  const isOwn = ({ factor }) => factor === 1 || factor === 0;
  const taken = points.filter(isOwn).map((p) => x(p.gmacs)); // a name that would lie on another is left out; the table has all
  for (const point of points) {
    const own = isOwn(point);
    const circle = drawn("circle", { cx: x(point.gmacs), cy: y(point.f1), r: 5, class: own ? "own" : "" });
    circle.append(drawn("title", {}, `${named(point)}: F1 ${point.f1.toFixed(2)}, ${point.gmacs.toFixed(2)} GMACs`));
    chart.append(circle);
    const at = x(point.gmacs);
    if (!own && taken.some((other) => Math.abs(other - at) < 44)) continue;
    taken.push(at);
    chart.append(drawn("text", { x: Math.min(at, right - 16), y: y(point.f1) + 21, "text-anchor": "middle" }, named(point)));
  }
  const own = curve.points.find((point) => point.factor === 1);
  chart.setAttribute("aria-label", `F1 over GMACs a question, from dense (F1 ${dense.f1.toFixed(2)}, ${dense.gmacs.toFixed(2)} GMACs) ` +
    `past the thresholds as they are (F1 ${own.f1.toFixed(2)}, ${own.gmacs.toFixed(2)} GMACs). The table below has every point.`);
  $("curve-about").textContent = `True runs on ${count(curve.questions)} of the questions. At ×3 the odds of every threshold are three times as high.`;
  $("points").tBodies[0].append(...curve.points.map((p) => line(named(p), p.f1.toFixed(2), p.gmacs.toFixed(2), times(dense.gmacs / p.gmacs))));
}

let chosen = [];
let listed = 0;

function choose() {
  const wanted = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  chosen = report.questions.filter((q) => {
    if (!WHICH[$("which").value](q)) return false;
    q.text ??= [q.id, q.question, ...q.gold, q.dense.text, q.skim.text].join("\n").toLowerCase();
    return wanted.every((word) => q.text.includes(word));
  });
  $("found").textContent = `${count(chosen.length)} of ${count(report.questions.length)}`;
  $("list").replaceChildren();
  listed = 0;
  more();
}

function more() {
  const some = chosen.slice(listed, listed + AT_ONCE);
  let group = listed ? chosen[listed - 1].group : null;
  for (const q of some) {
    if (q.group !== group) {
      group = q.group;
      const many = chosen.filter((other) => other.group === group).length;
      $("list").append(make("h3", `${GROUPS[group]} (${count(many)})`));
    }
    $("list").append(question(q));
  }
  listed += some.length;
  $("more").hidden = listed === chosen.length;
  $("more").textContent = `Show ${count(Math.min(AT_ONCE, chosen.length - listed))} more of ${count(chosen.length - listed)}`;
  return some.length;
}

function question(q) {
  const made = document.createElement("details");
  made.className = "one";
  const head = document.createElement("summary");
  const answers = make("span", "", "answers");
  const said = (name, text, ...classes) => {
    const cell = document.createElement("span");
    cell.append(make("span", name, "name"), make("span", text || "no answer", ...classes));
    answers.append(cell);
  };
  said("expected", q.gold.join(" | "));
  for (const [name, way] of [["dense", q.dense], ["skimming", q.skim]]) {
    said(`${name}, F1 ${Math.round(100 * way.f1)}`, way.text, way.em ? "good" : "bad");
  }
  const windows = q.windows === 1 ? "1 window" : `${count(q.windows)} windows`;
  head.append(make("span", q.question, "asked"), answers, make("span",
    `${windows} · ${percent(q.kept)} kept · ${q.skim.ms.toFixed(1)} ms (dense ${q.dense.ms.toFixed(1)}) · ${q.skim.gmacs.toFixed(2)} GMACs (dense ${q.dense.gmacs.toFixed(2)})`, "cost"));
  made.append(head);
  made.addEventListener("toggle", () => made.open && made.children.length === 1 && made.append(inside(q)));
  return made;
}

let opened = 0;

function inside(q) {
  const characters = Array.from(report.contexts[q.context]); // offsets count characters, not UTF-16 units
  const droppedAfter = new Array(characters.length).fill(layers);
  for (let i = 0; i < q.skipped.length; i += 3) droppedAfter.fill(q.skipped[i + 2], q.skipped[i], q.skipped[i + 1]);
  const marks = new Uint8Array(characters.length);
  const put = (bit, start, end) => { for (let i = start; i < end; i++) marks[i] |= bit; };
  put(ANSWER, q.skim.start, q.skim.end);
  put(DENSE, q.dense.start, q.dense.end);
  for (let i = 0; i < q.spans.length; i += 2) put(EXPECTED, q.spans[i], q.spans[i + 1]);
  const left = new Array(layers + 1).fill(0);
  for (const layer of droppedAfter) for (let at = 0; at <= layer; at++) left[at] += 1 / characters.length;

  const box = make("div", "", "inside");
  const row = make("div", "", "row", "slider");
  const label = make("label", "Layer");
  const slider = document.createElement("input");
  const output = document.createElement("output");
  slider.type = "range";
  slider.min = 0;
  slider.max = slider.value = layers;
  slider.id = label.htmlFor = `layer-${opened++}`;
  output.htmlFor = slider.id;
  row.append(label, slider, output);
  const passage = make("p", "", "passage");
  passage.tabIndex = 0;
  passage.setAttribute("role", "group");
  passage.setAttribute("aria-label", "The passage; what is dimmed was dropped");
  const pieces = cut(characters, droppedAfter, marks);
  passage.append(...pieces.map(([piece]) => piece));
  const legend = make("p", "", "hint");
  legend.append(make("mark", "skimming"), "  ", make("span", "dense", "dense"), "  ", make("span", "expected", "expected"), ` · id ${q.id}`);
  box.append(row, passage, legend);

  const move = () => {
    const at = Number(slider.value);
    for (const [piece, layer] of pieces) piece.classList.toggle("dropped", layer < at);
    output.textContent = at ? `after layer ${at - 1}: ${percent(left[at])} of the passage is left` : "all that went in";
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  slider.addEventListener("input", move);
  move();
  return box;
}

function cut(characters, droppedAfter, marks) {
  const found = [];
  for (let i = 0, j; i < characters.length; i = j) {
    for (j = i + 1; j < characters.length && droppedAfter[j] === droppedAfter[i] && marks[j] === marks[i]; j++);
    const piece = make(marks[i] & ANSWER ? "mark" : "span", characters.slice(i, j).join(""));
    if (marks[i] & DENSE) piece.classList.add("dense");
    if (marks[i] & EXPECTED) piece.classList.add("expected");
    if (droppedAfter[i] < layers) piece.title = `dropped after layer ${droppedAfter[i]}`;
    found.push([piece, droppedAfter[i]]);
  }
  return found;
}

showSummary();
showCurve();
choose();
$("filter").addEventListener("input", choose);
$("which").addEventListener("change", choose);
$("more").addEventListener("click", () => {
  const first = listed;
  more();
  $("list").querySelectorAll(".one > summary")[first].focus(); // the keyboard goes on where the new rows begin
});
