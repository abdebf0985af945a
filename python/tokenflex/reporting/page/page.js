// What the page does beyond being read: dark or light, where one is, and the figures of a part of the whole.
// All text goes into the page as text (textContent), never as markup.
"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const node = (name, attributes = {}, text = null) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    return made;
  };
  const drawn = (name, attributes = {}, text = null) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    return made;
  };

  // Dark and light. What was chosen is kept where the browser allows it; a mail attachment may not.
  const look = byId("look");
  const keep = (value) => { try { localStorage.setItem("tokenflex-look", value); } catch { /* not allowed here */ } };
  const kept = () => { try { return localStorage.getItem("tokenflex-look"); } catch { return null; } };
  const wear = (value) => {
    if (value === "dark" || value === "light") root.dataset.theme = value;
    else delete root.dataset.theme;
  };
  if (look) {
    look.value = ["dark", "light"].includes(kept()) ? kept() : "system";
    wear(look.value);
    look.addEventListener("change", () => { wear(look.value); keep(look.value); });
  }
  for (const each of document.querySelectorAll(".screen[hidden]")) each.hidden = false;

  // The contents stand beside the report where there is room, else folded above it.
  const beside = matchMedia("(min-width: 1040px)");
  const fold = () => { byId("contents").open = beside.matches; };
  beside.addEventListener("change", fold);
  fold();

  // Tables are folded away below their charts; on paper all are open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });

  // A folded table that a link leads into is opened; what scrolls can be reached by keyboard, what does not need not.
  const scrolls = () => {
    for (const each of document.querySelectorAll(".scroll")) {
      if (each.scrollWidth > each.clientWidth + 1) {
        each.tabIndex = 0;
        each.setAttribute("role", "group");
        each.setAttribute("aria-label", each.dataset.label || "Scrolls sideways");
      } else for (const name of ["tabindex", "role", "aria-label"]) each.removeAttribute(name);
    }
  };
  addEventListener("resize", scrolls);
  document.addEventListener("toggle", scrolls, true);
  scrolls();

  // Which chapter is on the screen.
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
  if ("IntersectionObserver" in window) {
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const a of links.values()) a.removeAttribute("aria-current");
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "0px 0px -75% 0px" });
    for (const each of document.querySelectorAll("section.chapter")) watch.observe(each);
  }

  // The part that is chosen.
  const form = byId("filters");
  const source = byId("cube");
  if (!form || !source) return;
  const cube = JSON.parse(source.textContent);
  const dims = new Map(cube.dims.map((dim) => [dim.key, dim]));
  const rows = cube.tokens.length;
  const SERIES = 6, BARS = 15, LISTED = 100, REST = "all others";
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const exact = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 });
  // Tokens are counted in ten-thousandths, as whole numbers, so that no sum is rounded.
  const tokens = (units) => exact.format(units / cube.unit);
  // Where no charge has a rate, nothing is known: that is no 0.
  const known = (part) => (part.charges && part.unrated === part.charges ? "-" : tokens(part.tokens));
  const share = (part, all) => (all ? `${(100 * part / all).toFixed(1)}%` : "-");
  const many = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? "" : "s"}`;

  const fields = () => {
    const chosen = {};
    for (const select of form.querySelectorAll("select")) {
      chosen[select.name] = select.value === "" ? null : Number(select.value);
    }
    return chosen;
  };
  const fits = (chosen) => {
    const tests = [];
    for (const [name, value] of Object.entries(chosen)) {
      if (value === null) continue;
      if (name === "from") tests.push((row) => cube.rows[cube.time][row] >= value);
      else if (name === "to") tests.push((row) => cube.rows[cube.time][row] <= value);
      else tests.push((row) => cube.rows[name][row] === value);
    }
    const found = [];
    for (let row = 0; row < rows; row += 1) if (tests.every((test) => test(row))) found.push(row);
    return found;
  };
  const total = (found) => {
    const sum = { tokens: 0, charges: 0, unrated: 0 };
    for (const row of found) {
      sum.tokens += cube.tokens[row];
      sum.charges += cube.charges[row];
      sum.unrated += cube.unrated[row];
    }
    return sum;
  };
  const grouped = (found, dim) => {
    const parts = new Map();
    for (const row of found) {
      const key = cube.rows[dim][row];
      if (!parts.has(key)) parts.set(key, []);
      parts.get(key).push(row);
    }
    return [...parts].map(([key, of]) => ({ key, name: dims.get(dim).values[key], ...total(of), of }));
  };
  const wholeTotal = total([...Array(rows).keys()]);

  const svg = (width, height, says) => drawn("svg", {
    class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": says,
  });
  const cut = (name, letters) => {
    const signs = Array.from(name);
    return signs.length > letters ? `${signs.slice(0, letters - 1).join("")}…` : name;
  };
  const label = (x, y, text, more = {}) =>
    drawn("text", { x, y, "font-size": 12, fill: "var(--ink)", "dominant-baseline": "central", ...more }, text);
  const niceSteps = (most) => {
    const rough = (most || 1) / 4;
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((times) => times * size).find((each) => each >= rough);
    return { step, count: Math.ceil((most || 1) / step - 1e-9) };
  };

  const barsOf = (parts, what) => {
    const shown = parts.slice(0, BARS);
    const rest = parts.slice(BARS);
    if (rest.length) shown.push({ name: many(rest.length, "other"), ...total(rest.flatMap((part) => part.of)), rest: true });
    const most = Math.max(...shown.map((part) => (part.rest ? 0 : part.tokens)), 1);
    const height = shown.length * 30 + 12;
    const side = 20 + 7.4 * Math.min(26, Math.max(...shown.map((part) => Array.from(part.name).length)));
    const said = shown.slice(0, 12).map((part) => `${part.name} ${known(part)}`).join(", ");
    const chart = svg(760, height, `Bars, tokens by ${what} of the part that is chosen: ${said}.`);
    shown.forEach((part, place) => {
      const y = place * 30 + 15;
      const width = part.rest ? 0 : Math.max(0, part.tokens / most * (640 - side));
      chart.append(
        label(side, y, cut(part.name, 26), { "text-anchor": "end", "font-size": 13 }),
        drawn("rect", { x: side + 8, y: y - 9, width, height: 18, fill: "var(--accent)" }),
        label(side + 14 + width, y, known(part) + (part.rest ? " together" : "")),
      );
    });
    return chart;
  };

  const columnsOf = (found) => {
    const times = grouped(found, cube.time).sort((a, b) => a.key - b.key);
    const products = cube.rows.product
      ? grouped(found, "product").sort((a, b) => b.tokens - a.tokens || a.key - b.key) : [];
    const series = products.slice(0, SERIES);
    const colour = new Map(series.map((part, place) => [part.key, `var(--s${place + 1})`]));
    const names = [...series.map((part) => part.name), ...(products.length > SERIES ? [REST] : [])];
    const most = Math.max(...times.map((part) => part.tokens), 1) / cube.unit;
    const { step, count } = niceSteps(most);
    const top = step * count, left = 70, bottom = 270, room = 760 - left - 10, high = 220;
    const said = times.map((part) => `${part.name} ${tokens(part.tokens)}`).join(", ");
    const chart = svg(760, 300, `Columns by month, tokens of the part that is chosen: ${said}. Parts: ${names.join(", ")}.`);
    for (let tick = 0; tick <= count; tick += 1) {
      const y = bottom - tick / count * high;
      chart.append(
        drawn("line", { x1: left, x2: 750, y1: y, y2: y, stroke: "var(--grid)" }),
        label(left - 8, y, exact.format(tick * step), { "text-anchor": "end", fill: "var(--soft)" }),
      );
    }
    const wide = room / times.length;
    const every = Math.ceil(times.length / 12);
    times.forEach((time, place) => {
      let y = bottom;
      const x = left + wide * (place + 0.5);
      const bar = Math.min(64, wide * 0.76);
      const stack = new Map([...series.map((part) => [part.key, 0]), [null, 0]]);
      for (const row of time.of) {
        const product = cube.rows.product ? cube.rows.product[row] : null;
        const key = colour.has(product) ? product : null;
        stack.set(key, stack.get(key) + cube.tokens[row]);
      }
      for (const [key, value] of stack) {
        if (value <= 0) continue;
        const tall = value / cube.unit / top * high;
        y -= tall;
        const fill = key === null ? (series.length ? "var(--s0)" : "var(--accent)") : colour.get(key);
        chart.append(drawn("rect", { x: x - bar / 2, y, width: bar, height: tall, fill }));
      }
      if (place % every === 0) chart.append(label(x, bottom + 16, time.name, { "text-anchor": "middle", fill: "var(--soft)" }));
    });
    names.forEach((name, place) => {
      const x = left + (place % 4) * 165, y = 10 + Math.floor(place / 4) * 18;
      const fill = name === REST && place === SERIES ? "var(--s0)" : `var(--s${place + 1})`;
      chart.append(drawn("rect", { x, y: y - 6, width: 11, height: 11, fill }), label(x + 17, y, cut(name, 20)));
    });
    return chart;
  };

  const tableOf = (parts, dim, all, words) => {
    const table = node("table", { class: "grid" });
    table.append(node("caption", {}, `Tokens by ${dim.label}: ${words}`));
    const head = node("tr");
    for (const [place, text] of [dim.label, "charges", "tokens", "share of these"].entries()) {
      head.append(node("th", { scope: "col", class: place ? "gt_right" : "" }, text));
    }
    const thead = node("thead");
    thead.append(head);
    const body = node("tbody");
    for (const part of parts.slice(0, LISTED)) {
      const line = node("tr");
      line.append(node("th", { scope: "row" }, part.name));
      const cells = [whole.format(part.charges), known(part), share(part.tokens, all.tokens)];
      for (const text of cells) line.append(node("td", { class: "gt_right" }, text));
      body.append(line);
    }
    table.append(thead, body);
    if (parts.length > LISTED) {
      const foot = node("tfoot"), line = node("tr");
      line.append(node("td", { colspan: 4 }, `The first ${LISTED} of ${whole.format(parts.length)}.`));
      foot.append(line);
      table.append(foot);
    }
    const frame = node("div", { class: "scroll", "data-label": `Table: tokens by ${dim.label}` });
    frame.append(table);
    return frame;
  };

  const inWords = (chosen) => {
    const parts = [];
    const times = dims.get(cube.time).values;
    if (chosen.from !== null || chosen.to !== null) {
      const from = times[chosen.from ?? 0], to = times[chosen.to ?? times.length - 1];
      parts.push(from === to ? from : `${from} to ${to}`);
    }
    for (const [name, value] of Object.entries(chosen)) {
      if (value !== null && dims.has(name) && name !== cube.time) parts.push(`${dims.get(name).label} ${dims.get(name).values[value]}`);
    }
    return parts.join(", ");
  };

  const show = () => {
    const chosen = fields();
    const words = inWords(chosen);
    const found = fits(chosen);
    const sum = total(found);
    const said = byId("filter-words");
    document.body.classList.toggle("only", words !== "");
    byId("filter-reset").disabled = words === "";
    if (words === "") said.textContent = `Everything is shown: ${tokens(wholeTotal.tokens)} tokens in ${many(wholeTotal.charges, "charge")}.`;
    else if (!found.length) said.textContent = `Only ${words}: nothing was charged.`;
    else {
      said.textContent = `Only ${words}: ${tokens(sum.tokens)} tokens in ${many(sum.charges, "charge")}, `
        + `${share(sum.tokens, wholeTotal.tokens)} of all tokens.`
        + (sum.unrated ? ` ${many(sum.unrated, "charge")} without a rate not counted.` : "");
    }
    for (const place of document.querySelectorAll("[data-dim]")) {
      place.replaceChildren();
      place.hidden = words === "";
      if (words === "") continue;
      const dim = dims.get(place.dataset.dim);
      if (!found.length) { place.append(node("h3", {}, `Tokens by ${dim.label}, only ${words}: nothing was charged`)); continue; }
      const byTime = dim.key === cube.time;
      const parts = grouped(found, dim.key)
        .sort((a, b) => (byTime ? a.key - b.key : b.tokens - a.tokens || b.charges - a.charges || a.key - b.key));
      const frame = node("div", { class: "scroll", "data-label": `Chart: tokens by ${dim.label}` });
      frame.append(byTime ? columnsOf(found) : barsOf(parts, dim.label));
      const figure = node("figure");
      figure.append(frame);
      place.append(node("h3", {}, `Tokens by ${dim.label}, only ${words}`), figure, tableOf(parts, dim, sum, `only ${words}`));
    }
    scrolls();
  };
  form.addEventListener("change", (event) => {
    const { from, to } = fields();
    // A period that ends before it begins: the other end follows.
    if (from !== null && to !== null && from > to) {
      form.elements[event.target.name === "from" ? "to" : "from"].value = event.target.value;
    }
    show();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(show));
  form.reset();
  form.hidden = false;
  show();
})();
