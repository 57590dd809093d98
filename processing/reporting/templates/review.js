"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const { digest, columns, rows, movies } = read("data");
const thumbnails = read("thumbnails");
const PAGE_SIZE = 20;
const CANDIDATES = 5;
const FOUND = 8;
const SHORTEST_PART = 4; // letters of a word that is looked for within a run of words
const STATUSES = ["review", "not in the table", "accepted", "failed"]; // the doubtful first

const element = (id) => document.getElementById(id);
const cellOf = (row, column) => row.cells[columns.indexOf(column)];
const key = `posterclip-review-${digest}`;

/* Decisions: by a row's index the index of a movie, or null for none of them. */
let decisions = {};
try {
  decisions = JSON.parse(localStorage.getItem(key)) || {};
  localStorage.setItem(key, JSON.stringify(decisions));
} catch {
  element("unsaved").hidden = false;
}

for (const [index, row] of rows.entries()) {
  row.index = index;
  row.thumbnail = thumbnails[index];
  row.poster = cellOf(row, "poster");
  row.status = cellOf(row, "status");
  row.certainty = Number(cellOf(row, "confidence") || cellOf(row, "similarity"));
}
const byDoubt = [...rows].sort(
  (a, b) => STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) || a.certainty - b.certainty
);
const isDecided = (row) => row.index in decisions;
const FILTERS = {
  ...Object.fromEntries(STATUSES.map((status) => [status, (row) => row.status === status])),
  decided: isDecided,
  all: () => true,
};

const buttons = {};
for (const name of Object.keys(FILTERS)) {
  buttons[name] = document.createElement("button");
  buttons[name].addEventListener("click", () => {
    show(name);
    element("cards").querySelector(".current")?.focus({ preventScroll: true });
  });
  element("filters").append(buttons[name]);
}

let filter = STATUSES.find((status) => rows.some(FILTERS[status])) || "all";
let shown = [];
let current = 0;

function show(name) {
  filter = name;
  shown = byDoubt.filter(FILTERS[name]);
  current = Math.max(0, shown.findIndex((row) => !isDecided(row)));
  draw();
}

function draw() {
  const first = current - (current % PAGE_SIZE);
  element("cards").replaceChildren(...shown.slice(first, first + PAGE_SIZE).map(drawCard));
  element("empty").hidden = shown.length > 0;
  const pages = Math.max(1, Math.ceil(shown.length / PAGE_SIZE));
  const page = first / PAGE_SIZE + 1;
  element("page").textContent = `Page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`;
  element("previous").disabled = page === 1;
  element("next").disabled = page === pages;
  element("cards").children[current - first]?.classList.add("current");
  drawProgress();
}

function drawProgress() {
  const decided = shown.filter(isDecided).length;
  element("progress").textContent = `${decided.toLocaleString("en")} of ${shown.length.toLocaleString("en")} decided`;
  element("done").max = shown.length || 1;
  element("done").value = decided;
  for (const [name, button] of Object.entries(buttons)) {
    const count = rows.filter(FILTERS[name]).length.toLocaleString("en");
    button.textContent = `${name[0].toUpperCase()}${name.slice(1)} ${count}`;
    button.setAttribute("aria-pressed", name === filter);
  }
}

function drawCard(row) {
  const card = element("card").content.cloneNode(true).firstElementChild;
  const find = (selector) => card.querySelector(selector);
  const chosen = isDecided(row) ? decisions[row.index] : row.suggested;
  const best = row.candidates.find((candidate) => candidate.movie === chosen) || row.candidates[0];
  card.setAttribute("aria-label", row.poster);
  if (row.thumbnail) find("img").src = `data:image/webp;base64,${row.thumbnail}`;
  find("img").hidden = !row.thumbnail;
  find(".blank").hidden = Boolean(row.thumbnail);
  find("h2").textContent = row.poster;
  find(".status").textContent = row.status;
  find(".decision").textContent = isDecided(row) ? `your decision: ${decisionOf(row)}` : "";
  find(".error").textContent = row.error;
  find(".error").hidden = !row.error;
  find(".lines").hidden = row.lines.length === 0;
  const lines = row.lines.map((line) => marked(document.createElement("span"), line, best?.matched));
  find(".text").replaceChildren(...lines);

  const candidates = row.candidates.slice(0, CANDIDATES);
  if (isDecided(row) && chosen !== null && best?.movie !== chosen) {
    candidates.push({ movie: chosen, confidence: "", similarity: "", matched: [] });
  }
  const drawn = candidates.map((candidate, index) => drawMovie(row, candidate, index < CANDIDATES ? index + 1 : ""));
  find(".candidates").replaceChildren(...drawn);
  find(".none").classList.toggle("suggested", row.suggested === null);
  find(".none").setAttribute("aria-pressed", isDecided(row) && chosen === null);
  find(".none").addEventListener("click", () => decide(row, null));
  find("input").addEventListener("input", (event) => {
    const found = search(event.target.value).map((movie) => ({ movie, confidence: "", similarity: "", matched: [] }));
    find(".found").replaceChildren(...found.map((candidate) => drawMovie(row, candidate, "")));
  });
  card.addEventListener("click", () => select(shown.indexOf(row), false));
  return card;
}

function drawMovie(row, candidate, number) {
  const button = element("candidate").content.cloneNode(true).firstElementChild;
  const find = (selector) => button.querySelector(selector);
  const movie = movies[candidate.movie];
  find("kbd").textContent = number;
  marked(find(".title"), movie.title || movie.id, candidate.matched);
  find(".year").textContent = movie.year.replace(/^-(.*)/, "$1 BC");
  marked(find(".plot"), movie.plot, candidate.matched);
  if (candidate.confidence) {
    find(".score").append(percent(candidate.confidence));
    find(".score").title = "confidence: how likely this is the poster's movie";
  } else if (candidate.similarity) {
    find(".score").append(Number(candidate.similarity).toFixed(2));
    find(".score").title = "similarity: a cosine, no probability";
  }
  button.classList.toggle("suggested", candidate.movie === row.suggested);
  button.setAttribute("aria-pressed", isDecided(row) && decisions[row.index] === candidate.movie);
  button.addEventListener("click", () => decide(row, candidate.movie));
  return button;
}

/* A share in percent, neither of 0 nor of 100: nothing is certain. */
function percent(share) {
  if (share < 0.005) return "< 1 %";
  return share > 0.995 ? "> 99 %" : `${Math.round(100 * share)} %`;
}

const WORD = /([\p{L}\p{N}\p{M}]+)/gu;
const plain = (word) => word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const words = (text) => (text.match(WORD) || []).map(plain);

/* Fills an element with a text in which the words that matched are marked, also those that OCR has run together. */
function marked(target, text, matched = []) {
  const found = matched.flatMap(words);
  const known = new Set(found);
  const run = found.join("");
  for (const part of text.split(WORD)) {
    const word = plain(part);
    if (known.has(word) || (word.length >= SHORTEST_PART && run.includes(word))) {
      target.append(Object.assign(document.createElement("mark"), { textContent: part }));
    } else {
      target.append(part);
    }
  }
  return target;
}

/* Indices of the movies whose title has every word of a text, or whose id it is. */
function search(text) {
  const wanted = words(text);
  if (!wanted.length) return [];
  const fits = (movie) => {
    const title = words(movie.title).join(" ");
    return movie.id === text.trim() || wanted.every((word) => title.includes(word));
  };
  const found = [];
  for (let index = 0; index < movies.length && found.length < FOUND; index++) {
    if (fits(movies[index])) found.push(index);
  }
  return found;
}

function decisionOf(row) {
  if (decisions[row.index] === null) return "none";
  return decisions[row.index] === row.suggested ? "confirmed" : "changed";
}

/* Decides on a poster, or takes the same decision back, and goes on to the next undecided poster. */
function decide(row, movie) {
  if (movie === undefined) return;
  select(shown.indexOf(row), false);
  if (decisions[row.index] === movie) return undo(row);
  decisions[row.index] = movie;
  save(row);
  const next = shown.findIndex((each, index) => index > current && !isDecided(each));
  if (next > 0) select(next);
}

function undo(row) {
  delete decisions[row.index];
  save(row);
}

function save(row) {
  try {
    localStorage.setItem(key, JSON.stringify(decisions));
  } catch {
    element("unsaved").hidden = false;
  }
  const card = element("cards").children[current % PAGE_SIZE];
  const fresh = drawCard(row);
  fresh.classList.add("current");
  card.replaceWith(fresh);
  fresh.focus({ preventScroll: true });
  drawProgress();
}

function select(index, scroll = true) {
  if (index === current || index < 0 || index >= shown.length) return;
  const turns = Math.floor(index / PAGE_SIZE) !== Math.floor(current / PAGE_SIZE);
  element("cards").children[current % PAGE_SIZE]?.classList.remove("current");
  current = index;
  if (turns) draw();
  const card = element("cards").children[current % PAGE_SIZE];
  card.classList.add("current");
  if (!card.contains(document.activeElement)) card.focus({ preventScroll: true });
  if (scroll) card.scrollIntoView();
}

const turn = (by) => select(Math.min((Math.floor(current / PAGE_SIZE) + by) * PAGE_SIZE, shown.length - 1));
element("previous").addEventListener("click", () => turn(-1));
element("next").addEventListener("click", () => turn(1));

document.addEventListener("keydown", (event) => {
  const row = shown[current];
  if (!row || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  const isButton = event.target.matches("button");
  if (event.key === "ArrowDown" || event.key === "ArrowRight") select(current + 1);
  else if (event.key === "ArrowUp" || event.key === "ArrowLeft") select(current - 1);
  else if (event.key === "Enter" && !isButton) {
    if (isDecided(row)) select(current + 1);
    else decide(row, row.suggested);
  } else if (/^[1-5]$/.test(event.key)) decide(row, row.candidates[event.key - 1]?.movie);
  else if (event.key === "n") decide(row, null);
  else if (event.key === "u") undo(row);
  else return;
  event.preventDefault();
});

function corrected(row) {
  if (!isDecided(row)) return row.cells;
  const movie = movies[decisions[row.index]];
  const candidate = row.candidates.find((each) => each.movie === decisions[row.index]);
  const changes = {
    status: decisionOf(row),
    id: movie?.id || "",
    title: movie?.title || "",
    year: movie?.year || "",
    confidence: candidate?.confidence || "",
    similarity: candidate?.similarity || "",
    matched: candidate?.matched.join("; ") || "",
  };
  return row.cells.map((cell, index) => changes[columns[index]] ?? cell);
}

const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

element("download").addEventListener("click", () => {
  const lines = [columns, ...rows.map(corrected)].map((cells) => cells.map(quoted).join(",") + "\r\n");
  const url = URL.createObjectURL(new Blob(["\ufeff", ...lines], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: url, download: "matches-corrected.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
});

show(filter);
