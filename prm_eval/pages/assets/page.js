"use strict";
// The browser of responses, pairs and labelled steps. Text of a run only ever becomes a text node; nothing here parses HTML.
(function () {
  const BATCH = 60;
  // By kind: its signs, what its rows are of, whose word the label is, and what the list's label is called.
  const KINDS = {
    "responses": { signs: { 1: "✓ right", 0: "✗ wrong", null: "? ungraded" }, whose: "score of", of: true },
    "pairs": { signs: { 1: "✓ right", 0: "✗ wrong", 0.5: "= split", null: "? no verdict" }, whose: "verdict of" },
    "labelled steps": { signs: { 1: "✓ right", 0: "✗ wrong", null: "? unknown" }, whose: "score of" },
  };
  const $ = (id) => document.getElementById(id);

  function make(tag, kind, words) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    if (words !== undefined && words !== null) element.textContent = words;
    return element;
  }

  // What a <script type="application/json"> of the page holds: base64 of gzipped JSON.
  async function unpack(id) {
    const binary = atob(JSON.parse($(id).textContent));
    const bytes = Uint8Array.from(binary, (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function theme() {
    const button = $("theme");
    const root = document.documentElement;
    const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const tell = () => { button.textContent = dark() ? "light" : "dark"; };
    button.hidden = false;
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; tell(); });
    tell();
  }

  const kind = () => KINDS[run.kind];
  const chosen = () => Number($("model").value || 0);
  // What stands in a row for all, or for each model its own.
  const own = (value) => Array.isArray(value) ? value[chosen()] : value;
  const tag = (label) => ({ 1: "tag right", 0: "tag wrong" }[label] || "tag");

  const number = (value) => value === null || value === undefined ? "–" : String(Math.round(value * 1000) / 1000);

  function mathematics(element) {
    if (typeof renderMathInElement === "undefined") return;
    renderMathInElement(element, {
      delimiters: [
        { left: "$$", right: "$$", display: true }, { left: "\\[", right: "\\]", display: true },
        { left: "\\(", right: "\\)", display: false }, { left: "$", right: "$", display: false },
      ],
      throwOnError: true, trust: false, strict: "ignore", maxExpand: 200, maxSize: 20, errorCallback: () => {},
    });
  }

  let index, run, place, rows, shown, version = 0;
  const blocks = new Map();

  function block(number) {
    const id = `block-${place}-${number}`;
    if (!blocks.has(id)) {
      blocks.set(id, unpack(id));
      if (blocks.size > 40) blocks.delete(blocks.keys().next().value);
    }
    return blocks.get(id);
  }

  function choose(select, names, none) {
    select.replaceChildren(...(none === null ? [] : [new Option(none, "")]), ...names.map((name, at) => new Option(name, String(at))));
  }

  function enter() {
    place = Number($("run").value || 0);
    run = index.runs[place];
    for (const id of ["picked", "right", "wrong"]) choose($(id), run.selectors, "any");
    choose($("model"), run.models, null);
    const signs = Object.entries(kind().signs).sort();
    $("outcome").replaceChildren(new Option("all", ""), ...signs.map(([value, words]) => new Option(words.slice(2), value)));
    $("noun").textContent = run.kind;
    $("whose").textContent = kind().whose;
    $("picked").parentElement.hidden = !kind().of;
    $("model").parentElement.hidden = !run.models.length;
    for (const id of ["right", "wrong", "differ"]) $(id).parentElement.hidden = !run.selectors.length;
    filter();
  }

  function wanted() {
    const given = (id) => $(id).value === "" ? null : Number($(id).value);
    const words = $("search").value.trim().toLowerCase();
    const [right, wrong, picked] = [given("right"), given("wrong"), given("picked")];
    const outcome = $("outcome").value;
    const problems = run.problems.map(([id, subset, prompt, , values]) => {
      if (words && !`${id}\n${subset || ""}\n${prompt}`.toLowerCase().includes(words)) return false;
      if (right !== null && values[right] !== 1) return false;
      if (wrong !== null && values[wrong] !== 0) return false;
      if (!$("differ").checked) return true;
      const known = values.filter((value) => value !== null);
      return known.length > 1 && Math.max(...known) - Math.min(...known) >= 0.5;
    });
    return (row) => problems[row[0]] && (outcome === "" || String(own(row[2])) === outcome)
      && (picked === null || row[5].includes(picked));
  }

  function filter() {
    const keep = wanted();
    const model = chosen();
    rows = [];
    run.rows.forEach((row, at) => { if (keep(row)) rows.push(at); });
    const sign = { high: -1, low: 1 }[$("order").value];
    if (sign) {
      const value = (at) => run.rows[at][4][model];
      const worst = (at) => value(at) === null || value(at) === undefined;
      rows.sort((a, b) => worst(a) - worst(b) || (worst(a) ? a - b : sign * (value(a) - value(b)) || a - b));
    }
    const many = new Set(rows.map((at) => run.rows[at][0])).size;
    const to = kind().of ? `, to ${many.toLocaleString("en")} problems` : "";
    $("found").textContent = `${rows.length.toLocaleString("en")} of ${run.rows.length.toLocaleString("en")} ${run.kind}${to}`;
    version += 1;
    shown = 0;
    $("rows").replaceChildren();
    extend();
  }

  function extend() {
    const part = document.createDocumentFragment();
    for (const at of rows.slice(shown, shown + BATCH)) part.append(line(at));
    shown = Math.min(shown + BATCH, rows.length);
    $("rows").append(part);
    $("more").textContent = shown < rows.length ? "…" : "";
  }

  function line(at) {
    const [problem, number_, labels, answers, scores, picks] = run.rows[at];
    const [label, answer] = [own(labels), own(answers)];
    const details = make("details", "row");
    const summary = make("summary");
    const name = run.problems[problem][0] + (number_ === null ? "" : ` #${number_}`);
    summary.append(make("span", tag(label), kind().signs[label]), make("span", "id", name),
      make("span", "answer", answer === null || answer === undefined ? "no answer" : answer));
    if (run.models.length) summary.append(make("span", "score", number(scores[chosen()])));
    if (picks.length) summary.append(make("span", "picks", `picked by ${picks.length} of ${run.selectors.length}`));
    details.append(summary);
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) unfold(details, at); });
    return details;
  }

  async function unfold(details, at) {
    const mine = version;
    const inside = make("div", "inside", "…");
    details.append(inside);
    const found = (await block(Math.floor(at / index.per_block)))[at % index.per_block];
    if (mine !== version) return;
    inside.replaceChildren(...(run.kind === "pairs" ? pair(at, ...found) : [...facts(at), ...response(...found)]));
    mathematics(inside);
  }

  function facts(at) {
    const [problem, , , answer, scores, picks] = run.rows[at];
    const [, subset, prompt, gold] = run.problems[problem];
    const list = make("dl");
    const add = (name, words) => list.append(make("dt", "", name), make("dd", "", words));
    if (subset) add("subset", subset);
    if (kind().of) add("gold answer", gold === null ? "not given" : gold);
    if (kind().of) add("its answer", answer === null || answer === undefined ? "none found" : answer);
    else add("labels", gold);
    run.models.forEach((model, of) => add(`score, ${model}`, number(scores[of])));
    if (kind().of) add("picked by", picks.map((of) => run.selectors[of]).join("; ") || "nobody");
    return [make("div", "problem", prompt), list];
  }

  // Both sides, and below them every game.
  function pair(at, sides, games) {
    const [, subset, prompt, gold] = run.problems[run.rows[at][0]];
    const list = make("dl");
    if (subset) list.append(make("dt", "", "subset"), make("dd", "", subset));
    list.append(make("dt", "", "better side"), make("dd", "", gold));
    const both = make("div", "sides");
    ["the first", "the second"].forEach((name, side) => {
      const one = make("div", "side");
      one.append(make("div", gold === name ? "tag right" : "tag", gold === name ? `${name} ✓ better` : name), make("div", "words", sides[side] || "(empty)"));
      both.append(one);
    });
    return [make("div", "problem", prompt), list, both, ...games.map(game)];
  }

  function game([judge, outcome, words, text]) {
    const line = make(text ? "details" : "div", "game");
    const head = make(text ? "summary" : "div");
    head.append(make("span", tag(outcome), outcome === null ? "" : kind().signs[outcome]), make("b", "", run.models[judge]), make("span", "", ` ${words}`));
    line.append(head);
    if (text) line.append(make("div", "words", text));
    return line;
  }

  // Steps with the score of the chosen model; thinking is folded. Where the counts differ nothing is matched.
  function response(steps, given, labels) {
    const model = chosen();
    const scores = given[model];
    const parts = [];
    const matched = Array.isArray(scores) && scores.length === steps.length;
    if (typeof scores === "string") parts.push(make("p", "note", `no step scores: ${scores}`));
    if (Array.isArray(scores) && !matched) {
      parts.push(make("p", "note", `${scores.length} step scores for ${steps.length} steps, so none is placed: ${scores.map(number).join(", ")}`));
    }
    if (!steps.length) parts.push(make("p", "note", "an empty response"));
    let fold = null;
    steps.forEach((step, at) => {
      const thinking = Array.isArray(step);
      if (thinking && !fold) {
        fold = make("details", "thinking");
        fold.append(make("summary", "", `thinking, ${steps.filter(Array.isArray).length} steps`));
        parts.push(fold);
      }
      if (!thinking) fold = null;
      (fold || { append: (element) => parts.push(element) }).append(stepline(thinking ? step[0] : step, matched ? scores[at] : null, model, labels ? labels[at] : null));
    });
    return parts;
  }

  function stepline(words, score, model, label) {
    const element = make("div", "step");
    if (score !== null) {
      const [low, high] = run.ranges[model];
      const share = high > low ? (score - low) / (high - low) : 0.5;
      element.classList.add(`q${Math.max(0, Math.min(5, Math.floor(share * 6)))}`);
    }
    const mark = { 1: "✓ ", 0: "✗ " }[label] || "";
    element.append(make("span", label === 0 ? "given refused" : "given", mark + (score === null ? "" : number(score))), make("div", "words", words));
    return element;
  }

  async function start() {
    theme();
    if (!$("index")) return;
    index = await unpack("index");
    choose($("run"), index.runs.map((one) => one.name), null);
    $("run").parentElement.hidden = index.runs.length === 1;
    const form = $("filters");
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(enter));
    let wait;
    form.addEventListener("input", (event) => {
      clearTimeout(wait);
      wait = setTimeout(event.target.id === "run" ? enter : filter, event.target.id === "search" ? 150 : 0);
    });
    const asked = location.hash.startsWith("#find=") ? decodeURIComponent(location.hash.slice(6)) : "";
    $("search").value = asked;
    enter();
    if (asked && rows.length) {
      $("rows").firstChild.open = true;
      $("browser").scrollIntoView();
    }
    // observed anew after each batch: a sentinel that stays in sight would not be told of twice
    const more = new IntersectionObserver((seen) => {
      if (!seen.some((one) => one.isIntersecting) || shown >= rows.length) return;
      extend();
      more.unobserve($("more"));
      more.observe($("more"));
    }, { rootMargin: "600px" });
    more.observe($("more"));
    document.body.dataset.ready = "yes";
  }

  start();
})();
