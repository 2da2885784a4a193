"use strict";
// The page of `facefold serve`: pictures in, predictions out, and past reports. It talks to its own
// server only, and puts every text into the page as text.

const at = (id) => document.getElementById(id);
let token = "";

/** A fraction in percent; one that is close to 0 or 1 is never rounded to it. */
function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share > 0.999 && share < 1) return "> 99.9 %";
  const near = (share > 0 && share < 0.005) || (share > 0.995 && share < 1);
  return `${(100 * share).toFixed(near ? 1 : 0)} %`;
}

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

/** Text with its `code` and **strong** words as elements, as reports write them. */
function inline(text) {
  const code = (part, at) => at % 2 ? make("code", {}, part) : part;
  const words = (part) => part.split(/`([^`]+)`/).map(code);
  const parts = text.split("**").map((part, at) => at % 2 ? make("strong", {}, ...words(part)) : words(part));
  return make("span", {}, ...parts.flat());
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
    at("token-note").textContent = token ? "The server refused this token." : "It is kept until this page is closed.";
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
  let [done, failed] = [0, 0];
  const progress = () => say(pictures.length === 1 ? "Processing …" : `Processing: ${done} of ${pictures.length} …`);
  progress();
  for (const file of pictures) {
    const place = make("article", { className: "prediction" });
    at("predictions").prepend(place);
    if (!await predict(file, place)) failed += 1;
    done += 1;
    progress();
  }
  const without = done === 1 ? "No prediction." : `${done} pictures done, ${failed} without a prediction.`;
  const all = done === 1 ? "Done." : `${done} pictures done.`;
  say(failed ? without : all);
}

/** Fills the place with a picture and its predictions; `whole` takes all of the picture as one aligned face. */
async function predict(file, place, whole = false) {
  const picture = showPicture(file);
  const side = make("div", {}, make("p", { className: "quiet" }, "Processing …"));
  place.replaceChildren(make("h2", {}, file.name || "picture"), picture, side);
  try {
    const headers = { "content-type": contentType(file) };
    const reply = await ask(`v1/predict?faces=all${whole ? "&aligned=true" : ""}`, { method: "POST", headers, body: file });
    const result = reply.pictures[0];
    side.replaceChildren(...result.faces.map((face, number) => faceCard(face, number, file, whole)));
    if (whole) side.append(make("p", { className: "caption" }, "No face was looked for: the whole picture was taken as one aligned face."));
    if (result.faces_found > result.faces.length) {
      const rest = result.faces_found - result.faces.length;
      side.append(make("p", { className: "caption" }, `${rest} more found: too small, or beyond the limit on faces.`));
    }
    await drawBoxes(picture, result.faces, side);
    return true;
  } catch (problem) {
    side.replaceChildren(...troubles(problem, file, place));
    return false;
  }
}

/** Rejections of pictures in which there may be a face. */
const WITHOUT_FACE = {
  "no-face": "No face was found in this picture.",
  "low-score": "Something like a face was found, but not clearly enough.",
  "too-small": "The face or the picture is too small.",
  "bad-landmarks": "A face was found, but not where its eyes, nose and mouth are.",
};

/** Rejections of files. */
const UNREAD = {
  "not-a-picture": "This file is no picture that can be read. JPEG, PNG, WebP, BMP, TIFF and GIF of one frame can.",
  empty: "This file is empty.",
  truncated: "This file ends early. Copy it again from where it is whole.",
  undecodable: "This file is damaged, or of a rare kind that is not read. Save it again as JPEG or PNG.",
  animated: "This file has several frames or pages. Save one of them as JPEG or PNG.",
  "wrong-channels": "This picture's colours are not RGB or grey. Save it in RGB as JPEG or PNG.",
  "too-large": "This picture is too large for this server. Make it smaller, or crop it.",
};

/** What went wrong, and what helps. */
function troubles(problem, file, place) {
  const words = WITHOUT_FACE[problem.code] ?? UNREAD[problem.code];
  if (!words) return [make("p", { className: "warning", role: "alert" }, problemWords(problem))];
  const parts = [make("p", { className: "warning", role: "alert" }, words)];
  if (problem.code in WITHOUT_FACE) parts.push(...advice(file, place));
  if (problem.code in UNREAD) place.classList.add("unread");
  return [...parts, make("p", { className: "caption" }, problemWords(problem))];
}

/** Which pictures work, and the way for a crop that the face fills. */
function advice(file, place) {
  const button = make("button", { type: "button", className: "whole" }, "Predict the whole picture as one face");
  button.onclick = async () => {
    say("Processing …");
    say(await predict(file, place, true) ? "Done." : "No prediction.");
    place.querySelector(".face")?.focus();
  };
  return [
    make("p", {}, "What helps:"),
    make("ul", { className: "advice" },
      make("li", {}, make("strong", {}, "Larger: "), "come closer, or crop the picture to the head and shoulders."),
      make("li", {}, make("strong", {}, "Upright, towards the camera: "), "a face from the side or upside down may not be found."),
      make("li", {}, make("strong", {}, "Well lit and sharp, "), "with nothing over eyes, nose or mouth."),
      make("li", {}, make("strong", {}, "Some space around it: "), "a face that fills the picture from edge to edge may not be found.")),
    make("p", {}, "Is the picture such a crop, with one upright face that fills it?"),
    make("p", {}, button),
  ];
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
    const [left, right] = [clip(face.box[0], width), clip(face.box[2], width)];
    const [top, bottom] = [clip(face.box[1], height), clip(face.box[3], height)];
    const card = side.children[number];
    const label = make("span", { className: "face-label" }, `${number + 1} · ${short(face)}`);
    const box = make("button", { type: "button", className: "face-box", "aria-label": `Face ${number + 1} · ${short(face)}` }, label);
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

const KINDS = { gender: "gender", age_group: "age group", class: "class" };

/** The prediction of a kind: that of the first bundle which has one. */
const firstOf = (face, kind) => face.predictions.find((prediction) => (prediction[kind] ?? null) !== null);

const years = (age) => `${Math.round(age)} years`;

/** The card's predictions in a few words. */
function short(face) {
  const [gender, aged, grouped, named] = ["gender", "age", "age_group", "class"].map((kind) => firstOf(face, kind));
  const words = [gender?.gender.label, aged ? years(aged.age) : grouped?.age_group.label, named?.class.label];
  return words.filter(Boolean).join(", ") || "a face";
}

/** One value for each thing predicted, whatever the number of bundles; what else they say is folded, and so is the group of an age. */
function faceCard(face, number, file, whole) {
  const aged = firstOf(face, "age");
  const parts = [
    ...(aged ? ages(aged) : []),
    ...Object.entries(KINDS).flatMap(([kind, name]) => {
      const prediction = firstOf(face, kind)?.[kind];
      if (!prediction) return [];
      if (kind === "age_group" && aged) return [make("details", {}, make("summary", {}, "Age group"), bars(prediction))];
      return [make("p", { className: "caption" }, kind === "gender" ? "gender, as annotators label it" : name), bars(prediction)];
    }),
  ];
  return make("div", { className: "face", tabIndex: -1 },
    make("h3", {}, `Face ${number + 1}`), unfamiliar(face), ...parts,
    face.predictions.length > 1 ? everyBundle(face) : null, details(face, aged), explainer(face, number, file, whole));
}

/** A warning about a face that is unlike those of the training sets. */
function unfamiliar(face) {
  const kinds = ["age", ...Object.keys(KINDS)];
  const doubtful = kinds.filter((kind) => firstOf(face, kind)?.familiarity?.unfamiliar).map((kind) => KINDS[kind] ?? "age");
  if (!doubtful.length) return null;
  const words = new Intl.ListFormat("en-GB").format(doubtful);
  return make("p", { className: "notice" }, `This face is unlike those the model was trained on: the ${words} may be wrong.`);
}

/** What each bundle predicts, folded. */
function everyBundle(face) {
  const rows = face.predictions.map((prediction) => [
    prediction.bundle, prediction.age === null ? "–" : years(prediction.age),
    ...Object.keys(KINDS).map((kind) => prediction[kind]?.label ?? "–"),
    prediction.thresholds.map((at) => `${at.age} or older: ${DECISIONS[at.decision]}`).join("; ") || "–",
    prediction.familiarity?.unfamiliar ? "unlike the training faces" : "–"]);
  const header = ["bundle", "age", ...Object.values(KINDS), "decision", "note"];
  const filled = header.map((_, column) => !column || rows.some((row) => row[column] !== "–"));
  const kept = (row) => row.filter((_, column) => filled[column]);
  return make("details", {}, make("summary", {}, "What each bundle predicts"), table(kept(header), rows.map(kept)));
}

/** The numbers behind a card, folded. */
function details(face, aged) {
  const lines = [`Detector score: ${percent(face.score)}. Embedding norm: ${face.norm.toFixed(1)}.`];
  for (const at of aged?.thresholds ?? []) {
    if (at.probability_over !== null) {
      lines.push(`Probability of being ${at.age} or older, by the predicted distribution: ${percent(at.probability_over)}. It alone does not decide: the decision also keeps a margin.`);
    }
  }
  const familiarity = face.predictions.find((prediction) => prediction.familiarity)?.familiarity;
  if (familiarity) lines.push(`Familiarity: of the training sets' own faces ${percent(familiarity.score)} are as unusual as this one, or more so.`);
  return make("details", {}, make("summary", {}, "Details"), ...lines.map((line) => make("p", { className: "caption" }, line)));
}

/** A button that requests occlusion maps, and the maps in the response. */
function explainer(face, number, file, whole) {
  const maps = make("div", { className: "maps", "aria-live": "polite" });
  const button = make("button", { type: "button", className: "explain", "aria-label": `Explain these predictions (face ${number + 1})` }, "Explain these predictions");
  button.onclick = async () => {
    button.disabled = true;
    maps.replaceChildren(make("p", { className: "quiet" }, "Covering one part of the face after another …"));
    try {
      const reply = await ask(`v1/explain?face=${face.index}${whole ? "&aligned=true" : ""}`, { method: "POST", headers: { "content-type": contentType(file) }, body: file });
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

const DECISIONS = { over: "yes", under: "no", undecided: "cannot say" };

/** For each age threshold that the bundle decides at, the decision and what it means. */
function decisions(prediction) {
  return prediction.thresholds.flatMap(({ age, decision }) => {
    const meaning = {
      over: `Looks clearly older than ${age}: few people under ${age} get a yes.`,
      under: `Looks clearly younger than ${age}: few people of ${age} or older get a no.`,
      undecided: prediction.familiarity?.unfamiliar
        ? "Nothing is decided about a face unlike the training faces. Ask for a document."
        : `Looks too close to ${age}: a yes or a no would be wrong too often. Ask for a document.`,
    };
    return [
      make("p", { className: "value decision" }, `${age} or older: ${DECISIONS[decision]}`),
      make("p", { className: "caption" }, meaning[decision]),
    ];
  });
}

/** The one interval around a predicted age: calibrated, else that of the predicted distribution; none without either. */
function interval({ age_low: low, age_high: high, age_distribution: probabilities, familiarity }) {
  if (low !== null) {
    const wider = familiarity?.unfamiliar ? " It is wider for an unfamiliar face." : "";
    return { low: Math.round(low), high: Math.round(high), meaning: `80 % interval: for about 8 of 10 faces the true age lies in it.${wider}` };
  }
  if (!probabilities) return null;
  const below = (share) => {
    let sum = 0;
    return probabilities.findIndex((one) => (sum += one) >= share);
  };
  return { low: below(0.1), high: below(0.9), meaning: "80 % of the predicted distribution, not checked against true ages." };
}

/** The predicted age with its interval, the decisions, and the predicted distribution where the head has one. */
function ages(prediction) {
  const range = interval(prediction);
  const predicted = make("p", { className: "value age" }, years(prediction.age));
  if (range) predicted.append(make("span", { className: "interval" }, `, likely ${range.low} to ${range.high}`));
  const parts = [make("p", { className: "caption" }, "age"), predicted];
  if (range) parts.push(make("p", { className: "caption" }, range.meaning));
  parts.push(...decisions(prediction));
  return prediction.age_distribution ? [...parts, ...distribution(prediction, range)] : parts;
}

/** The distribution over ages, with the years of the interval marked. */
function distribution({ age, age_distribution: probabilities }, range) {
  const most = Math.max(...probabilities);
  const chart = make("div", { className: "ages", role: "img", "aria-label": `Predicted distribution over ages from 0 to ${probabilities.length - 1} years` });
  probabilities.forEach((share, year) => {
    const place = year < range.low || year > range.high ? "outside" : "inside";
    const column = make("div", { className: `year ${year === Math.round(age) ? "predicted-year" : place}`, title: `${year}: ${percent(share)}` });
    column.style.height = `${(100 * share) / most}%`;
    chart.append(column);
  });
  const axis = make("div", { className: "axis", "aria-hidden": "true" }, ...[0, 20, 40, 60, 80, 100].map((year) => {
    const tick = make("span", {}, String(year));
    tick.style.left = `${(100 * (year + 0.5)) / probabilities.length}%`;
    return tick;
  }));
  return [chart, axis, make("p", { className: "caption" }, "Predicted distribution over ages; pale bars are outside the interval.")];
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
  at("viewfinder").scrollIntoView({ block: "nearest" });
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

/** A table whose first column names its rows; numbers stand to the right. On a narrow screen a wide one is a list of cards. */
function table(header, rows) {
  const text = (content) => content.textContent ?? content;
  const isNumber = (column) => column > 0 && rows.every((row) => /^([<>] )?[-−]?\d|^–$/.test(text(row[column])));
  const classes = header.map((_, column) => isNumber(column) ? "number" : "");
  const heading = (name, column) => make("th", { scope: "col", className: classes[column] }, name);
  const cell = (content, column) => column
    ? make("td", { className: classes[column], "data-label": header[column] }, make("span", {}, content))
    : make("th", { scope: "row" }, content);
  const isLong = rows.some((row) => row.slice(1).some((content) => text(content).length > 10));
  return make("table", { className: header.length > (isLong ? 3 : 4) ? "wide" : "" },
    make("thead", {}, make("tr", {}, ...header.map(heading))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))));
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
  if (models.detector === "none") {
    at("whole").textContent = "The bundle was trained on aligned crops: no face is looked for, and every picture is taken whole as one face, whatever it shows.";
  }
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
    const cells = { compare: tick, report: open, data: report.dataset, tasks: report.tasks.join(", "), features: report.features, date: report.date };
    return make("tr", {}, ...Object.entries(cells).map(([name, content]) => make("td", { "data-label": name }, content)));
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
    at("report").scrollIntoView({ block: "start" });
  } catch (problem) {
    at("report").replaceChildren(make("p", { className: "warning", role: "alert" }, problem.message));
  }
}

/** A value, and its interval on a line of its own. */
function metricText(metric) {
  const scale = metric.share ? 100 : 1;
  const shown = (value) => (scale * value).toFixed(2);
  const value = make("span", {}, shown(metric.pooled));
  if (metric.interval === null) return value;
  value.append(" ", make("span", { className: "between" }, `(${shown(metric.interval.low)} to ${shown(metric.interval.high)})`));
  return value;
}

const metricName = (metric) => metric.share ? `${metric.name}, %` : metric.name;

/** The metrics of heads, a row each with its name; – where a head lacks one that another has. */
function metricsTable(named) {
  const names = [...new Set(named.flatMap(([, head]) => head.metrics.map(metricName)))];
  const cell = (head, name) => {
    const metric = head.metrics.find((one) => metricName(one) === name);
    return metric ? metricText(metric) : "–";
  };
  return table(["head", ...names], named.map(([label, head]) => [label, ...names.map((name) => cell(head, name))]));
}

async function openReport(name) {
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  const report = await ask(`v1/results/${encodeURIComponent(name)}`);
  const [data, source] = [report.dataset, report.provenance];
  const plots = await Promise.all(report.plots.map((file) => plot(name, file)));
  return [
    make("h2", {}, report.name),
    make("p", {}, wholeReport(name)),
    ...report.warnings.map((text) => make("p", { className: "notice" }, inline(text))),
    make("p", {}, `${data.kind}, ${data.embedded.toLocaleString("en")} of ${data.samples.toLocaleString("en")} label rows embedded with ${source.network.name}; features: ${source.features}; label policy: ${data.label_policy ?? "–"}.`),
    ...report.tasks.flatMap((task) => [
      make("h3", {}, `${task.task} · ${task.protocol} · ${task.rows.toLocaleString("en")} rows of ${task.subjects.toLocaleString("en")} subjects`),
      metricsTable(task.heads.map((head) => [head.name, head])),
      task.words ? make("p", {}, inline(task.words)) : "",
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

/** Metrics in years; the others are fractions. */
const IN_YEARS = ["mean-absolute-error", "range-distance"];

function pairs({ metric, pairs }) {
  const inYears = IN_YEARS.includes(metric);
  const shown = (value) => ((inYears ? 1 : 100) * value).toFixed(2);
  const better = { "first-better": (pair) => pair.first, "second-better": (pair) => pair.second, undecided: () => "no significant difference" };
  return table(["first less second", `difference, ${inYears ? "years" : "points"}`, "95 % interval", "p (Holm)", "better"], pairs.map((pair) => [
    `${pair.first} − ${pair.second}`, shown(pair.difference), `${shown(pair.interval.low)} to ${shown(pair.interval.high)}`,
    pair.adjusted_p < 0.001 ? "< 0.001" : pair.adjusted_p.toFixed(3), better[pair.decision](pair)]));
}

async function compareReports([first, second]) {
  const query = new URLSearchParams({ first, second });
  try {
    const comparisons = await ask(`v1/compare?${query}`);
    return [make("h2", {}, `${first} and ${second}`), ...comparisons.flatMap((one) => [
      make("h3", {}, `${one.task}, on ${one.rows.toLocaleString("en")} rows that both have`),
      ...(one.warnings ?? []).map((text) => make("p", { className: "notice" }, inline(text))),
      make("p", {}, inline(one.summary)),
      pairs(one),
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
    const heads = found.flatMap(([report, task]) => task.heads.map((head) => [`${head.name} (${report}, ${task.protocol})`, head]));
    return [make("h3", {}, name), metricsTable(heads)];
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
