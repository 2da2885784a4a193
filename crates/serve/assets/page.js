"use strict";
// The page of `facefold serve`: pictures in, predictions out, and past reports. It talks to its own
// server only, and puts every text into the page as text.

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.005 ? 1 : 0)} %`;
let token = "";

/** An element with properties and children; strings become text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function say(text) {
  at("status").textContent = text;
}

/* ---- asking the server ---- */

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail);
    this.status = status;
    this.code = problem.code;
  }
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** Asks for JSON; waits where the server is busy, and for a token where it wants one. */
async function ask(path, options = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const headers = { ...options.headers };
    if (token) headers.authorization = `Bearer ${token}`;
    const reply = await fetch(path, { ...options, headers });
    if (reply.ok) return reply.json();
    if (reply.status === 401) {
      await askForToken();
      continue;
    }
    if (reply.status === 429 && attempt < 10) {
      await pause(Number(reply.headers.get("retry-after")) || 1);
      continue;
    }
    const fallback = { code: "unknown", detail: `the server responded with status ${reply.status}` };
    throw new Refused(reply.status, await reply.json().catch(() => fallback));
  }
}

let tokenGiven = null;

function askForToken() {
  if (!tokenGiven) {
    const form = at("token-form");
    form.hidden = false;
    at("token").focus();
    tokenGiven = new Promise((resolve) => {
      form.onsubmit = (event) => {
        event.preventDefault();
        token = at("token").value;
        at("token").value = "";
        form.hidden = true;
        tokenGiven = null;
        resolve();
      };
    });
  }
  return tokenGiven;
}

/* ---- pictures ---- */

async function tellAll(files) {
  const pictures = [...files];
  let done = 0;
  const progress = () => say(pictures.length === 1 ? "Processing …" : `Processing: ${done} of ${pictures.length} …`);
  progress();
  for (const file of pictures) {
    const place = make("article", { className: "prediction" }, make("h2", {}, file.name || "picture"));
    at("predictions").prepend(place);
    await predict(file, place);
    done += 1;
    progress();
  }
  say(done === 1 ? "Done." : `${done} pictures done.`);
}

async function predict(file, place) {
  const picture = showPicture(file);
  const side = make("div", {}, make("p", { className: "quiet" }, "Processing …"));
  place.append(picture, side);
  try {
    const headers = { "content-type": contentType(file) };
    const reply = await ask("v1/predict?faces=all", { method: "POST", headers, body: file });
    const result = reply.pictures[0];
    side.replaceChildren(...result.faces.map((face, number) => faceCard(face, number, file)));
    if (result.faces_found > result.faces.length) {
      const rest = result.faces_found - result.faces.length;
      side.append(make("p", { className: "caption" }, `${rest} more found: too small, or beyond the limit on faces.`));
    }
    await drawBoxes(picture, result.faces, side);
  } catch (problem) {
    side.replaceChildren(make("p", { className: "warning", role: "alert" }, problemWords(problem)));
  }
}

const contentType = (file) => file.type.startsWith("image/") ? file.type : "application/octet-stream";
const problemWords = (problem) => problem instanceof Refused ? `${problem.code}: ${problem.message}` : "The server cannot be reached.";

function showPicture(file) {
  const image = make("img", { alt: `The picture ${file.name || ""}`, src: URL.createObjectURL(file) });
  const picture = make("div", { className: "picture" }, image);
  image.onload = () => URL.revokeObjectURL(image.src);
  image.onerror = () => image.replaceWith(make("p", { className: "quiet" }, "This browser cannot show the picture."));
  return picture;
}

/** Boxes over the picture; each leads to its face's predictions. */
async function drawBoxes(picture, faces, side) {
  const image = picture.querySelector("img");
  if (!image) return;
  await image.decode().catch(() => {});
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  if (!width) return;
  faces.forEach((face, number) => {
    const clip = (value, most) => Math.min(Math.max(value, 0), most);
    const [left, right] = [clip(face.bounding_box[0], width), clip(face.bounding_box[2], width)];
    const [top, bottom] = [clip(face.bounding_box[1], height), clip(face.bounding_box[3], height)];
    const card = side.children[number];
    const label = make("span", { className: "face-label" }, `${number + 1} · ${short(face)}`);
    const box = make("button", { type: "button", className: "face-box", "aria-label": `Face ${number + 1}: ${short(face)}` }, label);
    box.style.left = `${(100 * left) / width}%`;
    box.style.top = `${(100 * top) / height}%`;
    box.style.width = `${(100 * (right - left)) / width}%`;
    box.style.height = `${(100 * (bottom - top)) / height}%`;
    box.onclick = () => {
      card.scrollIntoView({ block: "nearest", behavior: "smooth" });
      card.focus({ preventScroll: true });
    };
    card.onmouseenter = card.onfocus = () => box.classList.add("lit");
    card.onmouseleave = card.onblur = () => box.classList.remove("lit");
    picture.append(box);
  });
  spreadLabels(picture);
}

/** Moves labels that would hide each other below their boxes or inside them; the last resort is a number alone. */
function spreadLabels(picture) {
  const placed = [];
  const edge = picture.getBoundingClientRect();
  for (const box of picture.querySelectorAll(".face-box")) {
    const label = box.querySelector(".face-label");
    label.textContent = label.title || label.textContent;
    const hides = () => {
      const area = label.getBoundingClientRect();
      const off = area.left < edge.left - 3 || area.right > edge.right + 3 || area.top < edge.top - 3 || area.bottom > edge.bottom + 3;
      return off || placed.some((other) => area.left < other.right && area.right > other.left && area.top < other.bottom && area.bottom > other.top);
    };
    const tries = ["", "right", "below", "below right", "low", "low right", "deep", "deep right"];
    const fits = (places) => {
      box.classList.remove("right", "below", "low", "deep");
      box.classList.add(...places.split(" ").filter(Boolean));
      return !hides();
    };
    if (!tries.some(fits)) {
      label.title = label.textContent;
      label.textContent = label.textContent.split(" ")[0];
      tries.some(fits);
    }
    placed.push(label.getBoundingClientRect());
  }
}

/** The first bundle's predictions in a few words. */
function short(face) {
  const words = [];
  for (const prediction of face.predictions) {
    if (prediction.gender) words.push(prediction.gender.label);
    if (prediction.age !== null) words.push(`${Math.round(prediction.age)} years`);
    else if (prediction.age_group) words.push(prediction.age_group.label);
    if (prediction.class) words.push(prediction.class.label);
    if (words.length) break;
  }
  return words.join(", ") || "a face";
}

function faceCard(face, number, file) {
  const several = face.predictions.length > 1;
  const parts = face.predictions.flatMap((prediction) => [
    several ? make("h3", {}, prediction.bundle) : null,
    prediction.familiarity?.unfamiliar
      ? make("p", { className: "warning" }, "This face is unlike those the model was trained on: its predictions are unreliable.")
      : null,
    ...["gender", "age_group", "class"].filter((kind) => prediction[kind]).flatMap((kind) => [
      make("p", { className: "caption" }, { gender: "gender, as annotators label it", age_group: "age group", class: "class" }[kind]),
      bars(prediction[kind]),
    ]),
    ...ages(prediction),
  ]);
  const score = `detector ${percent(face.score)}, embedding norm ${face.norm.toFixed(1)}`;
  return make("div", { className: "face", tabIndex: -1 },
    make("h3", {}, `Face ${number + 1}`), ...parts, make("p", { className: "caption" }, score), explainer(face, number, file));
}

/** A button that requests occlusion maps, and the maps in the response. */
function explainer(face, number, file) {
  const maps = make("div", { className: "maps", "aria-live": "polite" });
  const button = make("button", { type: "button", className: "explain", "aria-label": `Explain the predictions for face ${number + 1}` }, "Explain these predictions");
  button.onclick = async () => {
    button.disabled = true;
    maps.replaceChildren(make("p", { className: "quiet" }, "Covering one part of the face after another …"));
    try {
      const reply = await ask(`v1/explain?face_index=${face.face_index}`, { method: "POST", headers: { "content-type": contentType(file) }, body: file });
      maps.replaceChildren(...reply.explanations.map((one) => mapFigure(one, face.predictions.length > 1)),
        make("p", { className: "caption" }, "Each part of the aligned face was covered in turn, in the mean colour of the face; colours show how the prediction changed."));
      button.hidden = true;
    } catch (problem) {
      maps.replaceChildren(make("p", { className: "warning", role: "alert" }, problemWords(problem)));
      button.disabled = false;
    }
  };
  return make("div", {}, button, maps);
}

function mapFigure(one, several) {
  const words = several ? `${one.bundle}, ${one.summary}` : one.summary;
  const [took, gave] = one.legend;
  const alt = `Map of the face for ${words}. Orange ${took}; blue ${gave}.`;
  return make("figure", {}, make("img", { src: one.overlay, alt, width: 224, height: 224 }),
    make("figcaption", {}, make("strong", {}, words),
      make("span", { className: "took" }, took), make("span", { className: "gave" }, gave)));
}

function bars(prediction) {
  const list = make("div", { className: "bars", role: "img", "aria-label": prediction.probabilities.map(([name, share]) => `${name} ${percent(share)}`).join(", ") });
  for (const [name, share] of prediction.probabilities) {
    const fill = make("div", { className: "fill" });
    fill.style.width = `${100 * share}%`;
    const best = name === prediction.label ? "best" : "";
    list.append(make("span", { className: best }, name), make("div", { className: "track" }, fill), make("span", { className: `number ${best}` }, percent(share)));
  }
  return list;
}

/** A line for each age threshold that the bundle decides at. */
function decisions(prediction) {
  const words = { over: "yes", under: "no", "undecided": "cannot say" };
  return prediction.thresholds.map((at) => {
    const line = make("p", { className: "value" }, `${at.age} or older: ${words[at.decision]}`);
    if (at.probability_over !== null) {
      line.append(make("span", { className: "interval" }, ` – probability ${percent(at.probability_over)}`));
    }
    return line;
  });
}

/** The predicted age, above the predicted distribution where the head has one. */
function ages(prediction) {
  if (prediction.age === null) return [];
  const caption = make("p", { className: "caption" }, "age");
  const predicted = make("p", { className: "value" }, `${prediction.age.toFixed(1)} years`);
  if (prediction.age_low !== null) {
    const interval = ` – ${prediction.age_low.toFixed(0)} to ${prediction.age_high.toFixed(0)} (80 % interval)`;
    predicted.append(make("span", { className: "interval" }, interval));
  }
  const probabilities = prediction.age_distribution;
  if (!probabilities) return [caption, predicted, ...decisions(prediction)];
  let [sum, low, high] = [0, 0, probabilities.length - 1];
  probabilities.forEach((share, year) => {
    if (sum < 0.1) low = year;
    if (sum < 0.9) high = year;
    sum += share;
  });
  const most = Math.max(...probabilities);
  const chart = make("div", { className: "ages", role: "img", "aria-label": `Distribution over ages; 80 % of it is from ${low} to ${high} years` });
  probabilities.forEach((share, year) => {
    const column = make("div", { className: year === Math.round(prediction.age) ? "year predicted-year" : "year", title: `${year}: ${percent(share)}` });
    column.style.height = `${(100 * share) / most}%`;
    chart.append(column);
  });
  const axis = make("div", { className: "axis", "aria-hidden": "true" }, ...[0, 20, 40, 60, 80, 100].map((year) => {
    const tick = make("span", {}, String(year));
    tick.style.left = `${(100 * (year + 0.5)) / probabilities.length}%`;
    return tick;
  }));
  const words = `80 % of the predicted distribution is from ${low} to ${high} years.`;
  return [caption, predicted, ...decisions(prediction), chart, axis, make("p", { className: "caption" }, words)];
}

/* ---- the camera ---- */

let stream = null;

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
  } catch {
    say("There is no camera that this page may use.");
    return;
  }
  at("video").srcObject = stream;
  at("viewfinder").hidden = false;
  await at("video").play();
  at("shoot").focus();
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  at("viewfinder").hidden = true;
  at("camera").focus();
}

function shoot() {
  const video = at("video");
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => blob && tellAll([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.95);
}

/* ---- what the numbers are worth ---- */

function table(header, rows) {
  const cell = (tag, text, column) => make(tag, { className: column ? "number" : "" }, text);
  return make("div", { className: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...header.map((text, column) => cell("th", text, column)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text, column) => cell("td", text, column)))))));
}

function worthOf(task, measured) {
  const parts = [make("h3", {}, `${task.task} (${task.head})`)];
  const validation = measured?.validation;
  const years = validation?.regression;
  const classes = validation?.classes;
  if (!years && !classes) return [...parts, make("p", {}, "The bundle does not say how good this head is.")];
  const basis = (rows) => `on ${rows.toLocaleString("en")} pictures of people it was not fitted on (they chose its settings, so expect a little worse)`;
  if (years) {
    if (years.rows) parts.push(make("p", {}, `Off by ${years.mean_absolute_error.toFixed(1)} years on average ${basis(years.rows)}.`));
    const ranges = years.ranges;
    if (ranges) {
      parts.push(make("p", {}, `Inside the age range for ${percent(ranges.inside)}, and ${ranges.mean_distance.toFixed(1)} years from it on average, ${basis(ranges.rows)}.`));
    }
    const groups = (measured.by_age_group ?? []).filter((group) => group.rows);
    if (groups.length) {
      parts.push(table(["true age", "mean absolute error, years", "mean error, years", "pictures"], groups.map((group) => [
        group.group, group.mean_absolute_error.toFixed(1), group.mean_error.toFixed(1), group.rows.toLocaleString("en")])));
    }
  } else {
    parts.push(make("p", {}, `Right for ${percent(classes.accuracy)} ${basis(classes.rows)}.`));
    parts.push(table(["true class", "recall", "pictures"], task.classes.map((name, index) => [
      name, classes.recall[index] === null ? "–" : percent(classes.recall[index]),
      classes.confusion[index].reduce((sum, count) => sum + count, 0).toLocaleString("en")])));
  }
  return parts;
}

function setInWords(set) {
  const tasks = set.tasks.map((task) => `${task.task} ${task.rows.toLocaleString("en")} rows of ${task.subjects.toLocaleString("en")} people`);
  return `${set.name} (${tasks.join(", ")}; terms: ${set.terms})`;
}

function showModels(models) {
  at("model").textContent = `${models.network}, ${models.execution}`;
  at("terms").textContent = `Terms of the network: ${models.licence}.`;
  at("bundles").replaceChildren(...models.bundles.map((bundle) => make("details", { open: models.bundles.length === 1 },
    make("summary", {}, bundle.name), ...bundle.tasks.flatMap((task) => worthOf(task, bundle.metrics?.[task.task])),
    make("p", {}, `For: ${bundle.intended_use}`), make("p", {}, "Not for:"),
    make("ul", {}, ...bundle.not_for.map((use) => make("li", {}, use))),
    make("p", { className: "quiet" }, `Trained on ${bundle.training.map(setInWords).join("; ") || "sets that it does not name"}.`),
    make("p", { className: "quiet" }, `Label policy ${bundle.label_policy}. Terms: ${bundle.licence}.`))));
  at("worth").hidden = false;
  if (!models.bundles.length) say("This server has no bundle: it computes embeddings only, and predicts nothing.");
}

/* ---- reports ---- */

function show(view) {
  for (const name of ["pictures", "reports"]) {
    at(name).hidden = name !== view;
    at(`show-${name}`).setAttribute("aria-pressed", String(name === view));
  }
}

const ticked = () => [...document.querySelectorAll("#list input:checked")].map((box) => box.value);

function showList(reports) {
  at("views").hidden = reports.length === 0;
  at("list").tBodies[0].replaceChildren(...reports.map((report) => {
    const tick = make("input", { type: "checkbox", value: report.name, "aria-label": `Compare ${report.name}` });
    tick.onchange = () => { at("compare").disabled = ticked().length !== 2; };
    const open = make("button", { type: "button" }, report.name);
    open.onclick = () => into(openReport(report.name));
    const cells = [tick, open, report.dataset, report.tasks.join(", "), report.features, report.date];
    return make("tr", {}, ...cells.map((content) => make("td", {}, content)));
  }));
}

/** Opens the report that the page's address names after `#`. */
function openNamed() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (!name) return;
  show("reports");
  into(openReport(name));
}

/** Puts what is being asked for, or what went wrong, where reports are shown. */
async function into(parts) {
  at("report").replaceChildren(make("p", { className: "quiet" }, "Reading …"));
  try {
    at("report").replaceChildren(...await parts);
  } catch (problem) {
    at("report").replaceChildren(make("p", { className: "warning", role: "alert" }, problem.message));
  }
}

function metricText(metric) {
  const scale = metric.share ? 100 : 1;
  const shown = (value) => (scale * value).toFixed(2);
  const interval = metric.interval === null ? "" : ` (${shown(metric.interval.low)} to ${shown(metric.interval.high)})`;
  return `${shown(metric.pooled)}${interval}`;
}

const headings = (task) => task.heads[0].metrics.map((metric) => metric.share ? `${metric.name}, %` : metric.name);

async function openReport(name) {
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  const report = await ask(`v1/results/${encodeURIComponent(name)}`);
  const [data, source] = [report.dataset, report.provenance];
  const plots = await Promise.all(report.plots.map((file) => plot(name, file)));
  return [
    make("h2", {}, report.name),
    make("p", {}, wholeReport(name)),
    ...report.warnings.map((text) => make("p", { className: "notice" }, text)),
    make("p", {}, `${data.kind}, ${data.embedded.toLocaleString("en")} of ${data.samples.toLocaleString("en")} label rows embedded with ${source.network.name}; features: ${source.features}; label policy: ${data.label_policy ?? "–"}.`),
    ...report.tasks.flatMap((task) => [
      make("h3", {}, `${task.task} · ${task.protocol} · ${task.rows.toLocaleString("en")} rows of ${task.subjects.toLocaleString("en")} subjects`),
      table(["head", ...headings(task)], task.heads.map((head) => [head.name, ...head.metrics.map(metricText)])),
      make("p", {}, task.words ?? ""),
    ]),
    make("h3", {}, "Plots"),
    make("div", { className: "plots" }, ...plots),
    make("h3", {}, "To repeat it"),
    make("pre", {}, source.command),
    make("p", { className: "quiet" }, `facefold ${source.version}, ${source.date}, ${source.machine.cpu}. Terms of the network: ${source.network.licence}.`),
  ];
}

/** A link to the whole report; where a token is asked for, which a link cannot carry, a button that saves it. */
function wholeReport(name) {
  const address = `v1/results/${encodeURIComponent(name)}/report.html`;
  if (!token) return make("a", { href: address }, "The whole report");
  const button = make("button", { type: "button" }, "Save the whole report");
  button.onclick = async () => {
    const reply = await fetch(address, { headers: { authorization: `Bearer ${token}` } });
    make("a", { href: URL.createObjectURL(await reply.blob()), download: `${name}.html` }).click();
  };
  return button;
}

/** A plot; fetched, because a picture's address cannot carry a token. */
async function plot(name, file) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const reply = await fetch(`v1/results/${encodeURIComponent(name)}/plots/${encodeURIComponent(file)}`, { headers });
  const address = URL.createObjectURL(await reply.blob());
  const image = make("img", { src: address, alt: file.replace(/\.svg$/, "").replaceAll("-", " "), loading: "lazy" });
  return make("figure", {}, image);
}

async function compareReports([first, second]) {
  const query = new URLSearchParams({ first, second });
  try {
    const comparisons = await ask(`v1/compare?${query}`);
    return [make("h2", {}, `${first} and ${second}`), ...comparisons.flatMap((one) => [
      make("h3", {}, `${one.task}, on ${one.rows.toLocaleString("en")} rows that both have`),
      make("p", {}, one.summary),
      table(["first minus second", "p (Holm)", "summary"], one.pairs.map((pair) => [`${pair.first} − ${pair.second}`, pair.adjusted_p < 0.001 ? "< 0.001" : pair.adjusted_p.toFixed(3), pair.summary])),
    ])];
  } catch (problem) {
    if (problem.status !== 422) throw problem;
    const reports = await Promise.all([first, second].map((name) => ask(`v1/results/${encodeURIComponent(name)}`)));
    return [make("h2", {}, `${first} and ${second}`), make("p", { className: "notice" }, `Listed without a test: ${problem.message}. Different rows or protocols make different numbers.`), ...sideBySide(reports)];
  }
}

function sideBySide(reports) {
  const tasks = [...new Set(reports.flatMap((report) => report.tasks.map((task) => task.task)))];
  return tasks.flatMap((name) => {
    const found = reports.map((report) => [report.name, report.tasks.find((task) => task.task === name)]).filter(([, task]) => task);
    const rows = found.flatMap(([report, task]) => task.heads.map((head) => [`${head.name} (${report}, ${task.protocol})`, ...head.metrics.map(metricText)]));
    return [make("h3", {}, name), table(["head", ...headings(found[0][1])], rows)];
  });
}

/* ---- wiring ---- */

at("files").onchange = (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  tellAll(files);
};
at("drop").ondragover = (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
};
at("drop").ondragleave = () => at("drop").classList.remove("over");
at("drop").ondrop = (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  tellAll([...event.dataTransfer.files]);
};
document.onpaste = (event) => {
  if (event.clipboardData.files.length) tellAll(event.clipboardData.files);
};
at("camera").onclick = startCamera;
at("stop").onclick = stopCamera;
at("shoot").onclick = shoot;
at("camera").hidden = !navigator.mediaDevices?.getUserMedia;
window.onresize = () => document.querySelectorAll(".picture").forEach(spreadLabels);
at("show-pictures").onclick = () => show("pictures");
at("show-reports").onclick = () => show("reports");
at("compare").onclick = () => into(compareReports(ticked()));
ask("v1/models").then(showModels).catch((problem) => say(problem.message));
ask("v1/results").then(showList).then(openNamed).catch(() => {});
window.onhashchange = openNamed;
