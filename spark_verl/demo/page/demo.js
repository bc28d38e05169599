"use strict";
// Whatever a model or a server says is put into the page as text, never as HTML.

const $ = (id) => document.getElementById(id);
const cards = Object.fromEntries([...document.querySelectorAll(".step")].map((card) => [card.dataset.objective, card]));
const hints = Object.fromEntries(Object.entries(cards).map(([name, card]) => [name, part(card, ".hint").textContent]));

let images = []; // data URIs
let example = null; // number of the example that the form shows unchanged
let examples = 0;
let attempt = 0;
let running = null; // AbortController of the question that is being answered

function part(card, selector) {
  return card.querySelector(selector);
}

function write(element, text) {
  element.textContent = text;
  element.hidden = text === "";
}

function drawImages() {
  $("images").replaceChildren(
    ...images.map((uri, index) => {
      const image = new Image();
      image.src = uri;
      image.alt = `Image ${index + 1} of the question`;
      return image;
    }),
  );
}

function changed() {
  example = null;
  attempt = 0;
}

async function addFiles(files) {
  const read = [...files].map(
    (file) =>
      new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.onerror = () => reject(new Error(`${file.name}: ${reader.error.message}`));
        reader.readAsDataURL(file);
      }),
  );
  try {
    const found = await Promise.all(read);
    images = example === null ? [...images, ...found] : found; // an example's own are replaced
    write($("problem"), "");
  } catch (error) {
    write($("problem"), error.message);
  }
  changed();
  drawImages();
}

function clearSteps() {
  for (const [name, card] of Object.entries(cards)) {
    card.classList.remove("busy");
    write(part(card, ".hint"), hints[name]);
    write(part(card, "pre"), "");
    write(part(card, ".result"), "");
  }
  part(cards.pointwise, ".gauge").hidden = true;
  write($("problem"), "");
}

function idle() {
  running = null;
  $("ask").disabled = false;
  $("stop").hidden = true;
  for (const card of Object.values(cards)) card.classList.remove("busy");
}

// What arrives is about the card that was begun last.
function show(event, card) {
  if (event.kind === "begin") {
    for (const other of Object.values(cards)) other.classList.remove("busy");
    card = cards[event.objective];
    card.classList.add("busy");
    part(card, ".hint").hidden = true;
  } else if (event.kind === "text") {
    const text = part(card, "pre");
    text.hidden = false;
    text.append(event.text);
    text.scrollTop = text.scrollHeight;
  } else if (event.kind === "sample") {
    const cut = event.cut ? " (cut at the token limit)" : "";
    write(part(card, ".result"), (event.answer === null ? "no answer that could be read" : event.answer) + cut);
    if (event.right !== null) {
      const truth = document.createElement("span");
      truth.className = `truth ${event.right ? "right" : "wrong"}`;
      truth.textContent = event.right ? " ✓ right" : " ✗ wrong";
      part(card, ".result").append(truth);
    }
  } else if (event.kind === "judged") {
    const says = { true: "it says right", false: "it says wrong", null: "no verdict that could be read" };
    write(part(card, ".result"), (event.verdict ? `${event.verdict}: ` : "") + says[event.says_right]);
    gauge(event.p_right);
  } else if (event.kind === "ended") {
    const last = cards.reflection;
    const spoken = !part(last, ".result").hidden;
    if (spoken) part(last, ".result").append(` (${event.why})`);
    else write(part(last, ".hint"), event.why);
  } else if (event.kind === "error") {
    write($("problem"), event.why);
  }
  return card;
}

function gauge(probability) {
  const whole = part(cards.pointwise, ".gauge");
  const bar = part(whole, ".bar");
  const known = probability !== null;
  whole.hidden = false;
  bar.hidden = !known;
  bar.setAttribute("aria-valuenow", known ? probability.toFixed(3) : "");
  part(bar, "div").style.width = `${100 * (probability ?? 0)}%`;
  part(whole, ".p").textContent = known ? `P(right) = ${probability.toFixed(3)}` : "P(right): the server does not tell";
}

async function ask() {
  if (running || !$("form").reportValidity()) return;
  const mine = new AbortController();
  running = mine;
  clearSteps();
  $("ask").disabled = true;
  $("stop").hidden = false;
  const temperature = $("temperature").valueAsNumber || 0;
  const asked = { question: $("question").value, temperature, always_reflect: $("always").checked,
    attempt: temperature > 0 ? attempt++ : 0 };
  try {
    const response = await fetch("ask", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(example === null ? { ...asked, images } : { ...asked, example }),
      signal: mine.signal,
    });
    if (!response.ok) throw new Error((await response.json()).error);
    await follow(response.body);
  } catch (error) {
    if (!mine.signal.aborted) write($("problem"), error.message);
  } finally {
    idle();
  }
}

async function follow(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let card = null;
  let last = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      last = JSON.parse(line);
      card = show(last, card);
    }
  }
  if (!last || !["ended", "error"].includes(last.kind)) throw new Error("the demo's server broke off the answer");
}

async function pick() {
  const number = example === null ? Math.floor(Math.random() * examples) : (example + 1) % examples;
  try {
    const response = await fetch(`example/${number}`);
    const found = await response.json();
    if (!response.ok) throw new Error(found.error);
    if (running) return;
    clearSteps();
    images = found.images;
    $("question").value = found.question;
    changed();
    example = number;
    drawImages();
  } catch (error) {
    write($("problem"), error.message);
  }
}

async function start() {
  try {
    const about = await (await fetch("about")).json();
    $("model").textContent = about.model;
    $("temperature").value = about.temperature;
    examples = about.examples;
    $("pick").hidden = examples === 0;
    if (examples) await pick();
  } catch (error) {
    write($("problem"), `the demo's server does not answer (${error.message})`);
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
$("question").addEventListener("input", changed);
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
$("files").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = "";
});
$("stop").addEventListener("click", () => running?.abort());
$("pick").addEventListener("click", pick);
$("clear").addEventListener("click", () => {
  running?.abort();
  images = [];
  $("question").value = "";
  changed();
  drawImages();
  clearSteps();
});
for (const name of ["dragenter", "dragover"]) {
  $("drop").addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) $("drop").addEventListener(name, () => $("drop").classList.remove("over"));
$("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  addFiles(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) addFiles(event.clipboardData.files);
});
start();
