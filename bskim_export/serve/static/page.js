// Asks the service, and shows which parts of the passage each layer still read.
const $ = (id) => document.getElementById(id);
const EXAMPLE = "Ada Lovelace was a mathematician. In 1843 she published notes on the Analytical Engine of Charles " +
  "Babbage, among them what is often called the first program. Babbage never finished the engine.";
let bundles = {};
let shown = null; // what the slider moves through

function headers() {
  const token = $("token").value;
  return { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
}

async function request(path, body) {
  const reply = await fetch(path, { method: body ? "POST" : "GET", headers: headers(), body: body && JSON.stringify(body) });
  const content = await reply.json().catch(() => ({ error: `The service said ${reply.status}.` }));
  if (reply.status === 401) $("token-row").hidden = false;
  if (!reply.ok) throw new Error(content.error);
  return content;
}

async function open() {
  bundles = (await request("info")).bundles;
  const names = Object.keys(bundles);
  $("bundle").replaceChildren(...names.map((name) => new Option(name)));
  $("bundle-row").hidden = names.length < 2;
}

async function ask() {
  $("error").textContent = "";
  $("ask").disabled = true;
  $("said").textContent = "Asking …";
  try {
    if (!Object.keys(bundles).length) await open();
    const name = $("bundle").value;
    const inputs = { question: $("question").value, context: $("context").value };
    const path = `models/${encodeURIComponent(name)}`;
    const options = { return_skim: true, return_stats: true };
    const [skim] = await request(path, { inputs, parameters: options });
    const [dense] = await request(path, { inputs, parameters: { ...options, threshold: 0 } });
    show(inputs.context, skim, dense, bundles[name].num_layers);
  } catch (error) {
    $("said").textContent = "";
    $("error").textContent = error.message;
  } finally {
    $("ask").disabled = false;
  }
}

function show(context, skim, dense, layers) {
  const characters = Array.from(context); // offsets count characters, not UTF-16 units
  const droppedAfter = new Array(characters.length).fill(layers);
  for (const { start, end, layer } of skim.skipped) droppedAfter.fill(layer, start, end);
  const left = Array.from({ length: layers + 1 }, (_, i) => droppedAfter.filter((layer) => layer >= i).length / characters.length);
  shown = { spans: [], left };
  $("passage").replaceChildren(...pieces(characters, droppedAfter, skim, layers));
  $("layer").max = layers;
  $("layer").value = layers;
  move();
  $("layers").replaceChildren(...left.slice(1).map((share, i) => row([`${i}`, percent(share)])));
  const facts = [["macs", skim.stats.macs / 1e9, dense.stats.macs / 1e9, 2], ["time", skim.stats.seconds * 1e3, dense.stats.seconds * 1e3, 1]];
  for (const [id, own, whole, digits] of facts) {
    $(id).textContent = own.toFixed(digits);
    $(`dense-${id}`).textContent = whole.toFixed(digits);
    $(`${id}-ratio`).textContent = `${(whole / own).toFixed(2)}×`;
  }
  const answer = skim.answer ? `Answer: ${skim.answer} (score ${percent(skim.score)}).` : "The passage does not answer this.";
  const same = dense.answer === skim.answer ? "" : ` The dense model says: ${dense.answer || "no answer"}.`;
  $("said").textContent = `${answer}${same} ${percent(1 - left[layers])} of the passage was dropped on the way.`;
  $("result").hidden = false;
}

function pieces(characters, droppedAfter, { start, end }, layers) {
  const found = [];
  for (let i = 0, j; i < characters.length; i = j) {
    const inside = i >= start && i < end;
    for (j = i + 1; j < characters.length && droppedAfter[j] === droppedAfter[i] && (j >= start && j < end) === inside;) j++;
    const piece = document.createElement(inside ? "mark" : "span");
    piece.textContent = characters.slice(i, j).join("");
    if (droppedAfter[i] < layers) piece.title = `dropped after layer ${droppedAfter[i]}`;
    shown.spans.push([piece, droppedAfter[i]]);
    found.push(piece);
  }
  return found;
}

function move() {
  const at = Number($("layer").value);
  for (const [piece, layer] of shown.spans) piece.classList.toggle("dropped", layer < at);
  const text = at ? `after layer ${at - 1}: ${percent(shown.left[at])} of the passage is left` : "all that went in";
  $("left").textContent = text;
  $("layer").setAttribute("aria-valuetext", text);
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return made;
}

const percent = (share) => `${Math.round(100 * share)} %`;

$("context").value = EXAMPLE;
$("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") $("form").requestSubmit();
});
$("layer").addEventListener("input", move);
$("file").addEventListener("change", async () => {
  const [file] = $("file").files;
  if (file) $("context").value = await file.text();
});
open().catch((error) => { $("error").textContent = error.message; });
