"use strict";
// Everything from the data becomes text nodes, values of properties or data: URIs, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const PALETTE = ["#7d8794", "#d9622b", "#2b7fd9", "#9457c9", "#c79a12", "#12a5a0", "#d14a86", "#7a8f2a"];
const methods = data.methods.map((m) => m.name);  // keys of an object would put "2" before "rainy"
const colour = (method) =>
  method === "clean" ? "#2f9e58" : method === "truth" ? "#888" : PALETTE[methods.indexOf(method) % PALETTE.length];

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

function draw(tag, attributes, text) {
  const node = document.createElementNS($("svg").namespaceURI, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const isNumber = (value) => typeof value === "number";
const show = (value, digits) => (isNumber(value) ? value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1") : "–");
const mean = (values) => {
  const numbers = values.filter(isNumber);
  return numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : null;
};
const valueOf = (row, column) => mean(column.keys.map((key) => row[key]));
const column = (key) => data.columns.find((c) => c.key === key);
const heading = (c) => [c.title, ...(c.unit ? [make("small", {textContent: c.unit})] : [])];

function list(target, entries) {
  for (const [term, text] of entries) target.append(make("dt", {textContent: term}), make("dd", {textContent: text}));
}

function drawSummary() {
  const head = make("tr", {}, make("th", {textContent: "method"}), ...data.columns.map((c) => make("th", {title: c.meaning}, ...heading(c))));
  const body = methods.map((method) => make("tr", {}, make("th", {scope: "row", textContent: method, title: method}),
    ...data.columns.map((c) => {
      const value = valueOf(data.summary[method], c);
      const cell = make("td", {textContent: show(value, c.digits)});
      if (c.per_view && isNumber(value)) {
        const each = c.keys.map((key) => data.summary[method][key]).filter(isNumber);
        if (each.length > 1) cell.append(make("small", {textContent: each.map((v) => show(v, c.digits)).join(" / ")}));
      }
      if (data.best[c.key].includes(method)) cell.className = "best";
      return cell;
    })));
  $("summary").append(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((s) => s * power >= rough);
  const result = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) result.push(i * step);
  return [result, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
}

// A row of dots per method, one dot an image, with the median.
function dotPlot(figure, groups, unit, digits) {
  const svg = figure.querySelector("svg");
  const width = Math.max(svg.parentElement.clientWidth - 26, 200), rowHeight = 52, bottom = 26;
  const height = groups.length * rowHeight + bottom;
  const all = groups.flatMap((g) => g.points.map((p) => p.value));
  let low = Math.min(0, ...all), high = Math.max(0, ...all);
  const pad = (high - low) * 0.03 || 1;
  [low, high] = [low < 0 ? low - pad : 0, high > 0 ? high + pad : low < 0 ? 0 : 1];
  const x = (value) => 6 + ((value - low) / (high - low)) * (width - 12);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const [marks, decimals] = ticks(low, high, width / 90);
  for (const mark of marks) {
    svg.append(draw("line", {x1: x(mark), x2: x(mark), y1: 0, y2: height - bottom, stroke: "var(--line)",
                             "stroke-width": mark === 0 ? 2 : 1}));
    const anchor = x(mark) > width - 20 ? "end" : x(mark) < 20 ? "start" : "middle";
    svg.append(draw("text", {x: x(mark), y: height - 8, "text-anchor": anchor, class: "quiet"}, mark.toFixed(decimals)));
  }
  groups.forEach((group, row) => {
    const top = row * rowHeight, sorted = group.points.map((p) => p.value).sort((a, b) => a - b), n = sorted.length;
    const median = n % 2 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    svg.append(draw("text", {x: 4, y: top + 15}, group.name.length > 24 ? group.name.slice(0, 23) + "…" : group.name));
    svg.append(draw("text", {x: width - 4, y: top + 15, "text-anchor": "end", class: "quiet"}, `median ${show(median, digits)} ${unit}`));
    group.points.forEach((point, i) => {
      const dot = draw("circle", {cx: x(point.value), cy: top + 34 + (((i * 0.618) % 1) - 0.5) * 16, r: 4,
                                  fill: colour(group.name), "fill-opacity": 0.6});
      dot.append(draw("title", {}, `${point.name}: ${show(point.value, digits)} ${unit}`));
      svg.append(dot);
    });
    svg.append(draw("line", {x1: x(median), x2: x(median), y1: top + 22, y2: top + 46, stroke: "var(--ink)", "stroke-width": 2}));
  });
}

function setUpPlots() {
  const psnr = column("psnr_rgb"), wrong = column("wrong_percent");
  const rainy = Object.fromEntries(data.rows.filter((r) => r.method === "rainy").map((r) => [r.name, valueOf(r, psnr)]));
  const points = (names, value) => names.map((name) => ({name, points: data.rows
    .filter((r) => r.method === name).map((r) => ({name: r.name, value: value(r)})).filter((p) => isNumber(p.value))}))
    .filter((group) => group.points.length);
  const plots = [
    ["PSNR RGB gained over the rainy input, dB: a dot for every image, mean of its views", "dB", psnr.digits,
     points(methods.filter((m) => m !== "rainy" && m !== "clean"), (r) => valueOf(r, psnr) - rainy[r.name])],
    [`Disparity wrong, %: ${wrong.meaning}`, "%", wrong.digits, points(methods, (r) => valueOf(r, wrong))],
  ].filter(([, , , groups]) => groups.length);
  const figures = plots.map(([caption]) => make("figure", {}, make("figcaption", {textContent: caption}), make("div", {className: "plot"})));
  figures.forEach((figure, i) => figure.lastChild.append(draw("svg", {role: "img", "aria-label": plots[i][0]})));
  $("plots").append(...figures);
  $("plots-section").hidden = !plots.length;
  const redraw = () => plots.forEach(([, unit, digits, groups], i) => dotPlot(figures[i], groups, unit, digits));
  redraw();
  window.addEventListener("resize", redraw);
}

function options(select, entries, wanted) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", {value, textContent: text})));
  select.value = entries.some(([value]) => value === wanted) ? wanted : entries[0][0];
}

const LAYERS = {left: "left view", right: "right view", disparity: "disparity", errors: "errors of the disparity"};
const picture = () => data.pictures[$("picture").value];
const layerOf = (p, key) => ({disparity: p.disparities, errors: p.errors})[key] || p.images[key] || {};
const layer = (p) => layerOf(p, $("layer").value);
const rowOf = (name, method) => data.rows.find((r) => r.name === name && r.method === method);

function numbers(name, method) {
  const row = rowOf(name, method);
  const text = (key) => {
    const c = column(key), value = row ? valueOf(row, c) : null;
    return isNumber(value) ? `${c.title} ${show(value, c.digits)}${c.unit ? " " + c.unit : ""}` : null;
  };
  return ["psnr_rgb", "ssim_rgb", "epe_px", "wrong_percent"].map(text).filter(Boolean).join(", ");
}

function showPicture() {
  const p = picture(), shown = [...methods, "truth"].filter((m) => Object.hasOwn(layer(p), m)).map((m) => [m, m]);
  const fallback = methods[1] === "clean" ? "clean" : methods[1];
  options($("first"), shown, $("first").value || "rainy");
  options($("second"), shown, $("second").value || fallback);
  const [first, second] = [$("first").value, $("second").value];
  for (const [id, method] of [["before", first], ["after", second]]) {
    $(id).src = layer(p)[method];
    $(id).alt = `${p.name}, ${method}, ${LAYERS[$("layer").value]}`;
  }
  for (const id of ["stage", "split"]) $(id).style.maxWidth = `${Math.max(2 * p.width, 480)}px`;
  $("first-tag").textContent = first;
  $("second-tag").textContent = second;
  $("picture-note").replaceChildren();
  for (const method of new Set([first, second])) {
    const text = numbers(p.name, method);
    if (text) $("picture-note").append(make("div", {}, make("strong", {textContent: method}), `: ${text}`));
  }
  $("disparities").hidden = !Object.keys(p.disparities).length;
  $("top").textContent = `${p.top_px} px and more`;
  const order = [...methods, "truth"].filter((m) => Object.hasOwn(p.disparities, m));
  const ghosts = [...methods].filter((m) => Object.hasOwn(p.errors, m));
  $("error-gallery").replaceChildren(...ghosts.map((method) => {
    const share = (key) => show(valueOf(rowOf(p.name, method) || {}, column(key)), 1);
    const text = `: ${share("ghosts_percent")} % ghosts, ${share("missing_percent")} % missing`;
    const caption = make("figcaption", {}, make("strong", {textContent: method}), text);
    return make("figure", {}, caption, make("img", {src: p.errors[method], alt: `errors of ${p.name}, ${method}`}));
  }));
  const matched = methods.filter((m) => Object.hasOwn(p.matches, m));
  $("matches").hidden = !matched.length;
  $("match-gallery").replaceChildren(...matched.map((method) => {
    const wrong = rowOf(p.name, method)?.attention_wrong_percent;
    const caption = make("figcaption", {}, make("strong", {textContent: method}), `: ${show(wrong, 1)} % of all pixels wrong`);
    return make("figure", {}, caption, make("img", {src: p.matches[method], alt: `matches of ${p.name}, ${method}`}));
  }));
  $("gallery").replaceChildren(...order.map((method) => {
    const wrong = valueOf(rowOf(p.name, method) || {}, column("wrong_percent"));
    const isReference = method === (data.depth_reference === "ground truth" ? "truth" : "clean");
    const text = isReference ? ": the reference" : `: ${show(wrong, 1)} % wrong`;
    const caption = make("figcaption", {}, make("strong", {textContent: method}), text);
    return make("figure", {}, caption, make("img", {src: p.disparities[method], alt: `disparity of ${p.name}, ${method}`}));
  }));
  moveSplit();
}

function moveSplit() {
  const percent = Number($("split").value);
  $("before").style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
  $("edge").style.left = `${percent}%`;
}

function setUpViewer() {
  if (!data.pictures.length) return;
  $("viewer").hidden = false;
  const psnr = column("psnr_rgb"), first = methods[1];
  options($("picture"), data.pictures.map((p, i) => {
    const gain = first === "clean" ? null : valueOf(rowOf(p.name, first), psnr) - valueOf(rowOf(p.name, "rainy"), psnr);
    return [String(i), isNumber(gain) ? `${p.name} (${first}: ${gain < 0 ? "−" : "+"}${show(Math.abs(gain), 2)} dB)` : p.name];
  }), "0");
  const layers = () => options($("layer"), Object.entries(LAYERS).filter(([key]) =>
    Object.keys(layerOf(picture(), key)).length), $("layer").value || "left");
  layers();
  $("picture").addEventListener("change", () => { layers(); showPicture(); });
  for (const id of ["layer", "first", "second"]) $(id).addEventListener("change", showPicture);
  $("split").addEventListener("input", moveSplit);
  const drag = (event) => {
    if (!event.buttons) return;
    const box = $("stage").getBoundingClientRect();
    $("split").value = (100 * (event.clientX - box.left)) / box.width;
    moveSplit();
  };
  $("stage").addEventListener("pointerdown", (event) => { $("stage").setPointerCapture(event.pointerId); drag(event); });
  $("stage").addEventListener("pointermove", drag);
  showPicture();
}

function setUpTable() {
  const keys = [["name", "image", "", null], ["method", "method", "", null],
    ...data.columns.flatMap((c) => c.keys.map((key) => [key, c.per_view ? `${c.title} ${key.split("_").pop()}` : c.title, c.unit, c]))]
    .filter(([key, , , c]) => !c || data.rows.some((r) => isNumber(r[key])));
  const pictured = Object.fromEntries(data.pictures.map((p, i) => [p.name, String(i)]));
  const lines = data.rows.map((row) => [row, make("tr", {}, ...keys.map(([key, , , c]) => {
    if (key !== "name") return make("td", {textContent: c ? show(row[key], c.digits) : row[key], title: c ? "" : row[key]});
    if (!Object.hasOwn(pictured, row.name)) return make("th", {scope: "row", textContent: row.name, title: row.name});
    const link = make("button", {className: "link", textContent: row.name, title: `show ${row.name} above`});
    link.addEventListener("click", () => {
      $("picture").value = pictured[row.name];
      $("picture").dispatchEvent(new Event("change"));
      $("viewer").scrollIntoView();
    });
    return make("th", {scope: "row"}, link);
  }))]);
  const body = make("tbody"), state = {key: null, descending: false};
  const refresh = () => {
    const sign = state.descending ? -1 : 1, wanted = $("method").value;
    const compare = (a, b) => {
      if (state.key === null) return 0;
      const [u, v] = [a[0][state.key], b[0][state.key]];
      if (u === null || v === null) return (u === null) - (v === null);
      return sign * (isNumber(u) ? u - v : u < v ? -1 : u > v ? 1 : 0);
    };
    body.replaceChildren(...lines.filter(([row]) => wanted === "" || row.method === wanted).sort(compare).map(([, line]) => line));
  };
  const heads = keys.map(([key, title, unit, c]) => {
    const button = make("button", {type: "button", title: c ? c.meaning : ""}, make("span", {textContent: title}),
      ...(unit ? [make("small", {textContent: unit})] : []));
    const head = make("th", {scope: "col"}, button);
    button.addEventListener("click", () => {
      state.descending = state.key === key ? !state.descending : Boolean(c);
      state.key = key;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      refresh();
    });
    return head;
  });
  options($("method"), [["", "all"], ...methods.map((m) => [m, m])], "");
  $("method").addEventListener("change", refresh);
  $("images").append(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  refresh();
}

const against = data.depth_reference === "ground truth" ? "the true disparities" : "the disparities of the clean pairs";
$("about").textContent = `${data.images} ${data.images === 1 ? "pair" : "pairs"} of ${data.data}; depth is judged against ${against}.`;
$("notes").textContent = "Means over all images; small: left / right view. The best of the compared methods is marked; the clean pair is not one."
  + (column("lpips") ? "" : " LPIPS was not measured: it needs AlexNet's weights.");
list($("columns"), data.columns.map((c) => [c.title, c.meaning]));
list($("methods"), data.methods.map((m) => [m.name, m.what]));
list($("settings"), [...Object.entries(data.settings), ...Object.entries(data.versions)].map(([key, value]) =>
  [key, value !== null && typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} = ${v}`).join(", ") || "none" : String(value)]));
drawSummary();
setUpPlots();
setUpViewer();
setUpTable();
