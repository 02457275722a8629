// A conversation with a model. It lives in this page: nothing is kept, and a reload forgets it.
(() => {
  "use strict";
  const form = document.getElementById("try-form");
  if (!form) return;
  const words = JSON.parse(document.getElementById("try-words").textContent);
  const at = (name) => document.getElementById(`try-${name}`);
  const [log, state, text, send, stop, fresh] = ["log", "state", "text", "send", "stop", "new"].map(at);
  const language = document.documentElement.lang;
  let messages = [];
  let running = null;

  const made = (tag, name, content = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = content;
    return element;
  };
  const say = (what) => { state.textContent = what; };
  const filled = (pattern, values) => pattern.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const number = (n) => new Intl.NumberFormat(language).format(n);
  const follow = () => { log.scrollTop = log.scrollHeight; };
  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;

  function bubble(role, content) {
    at("empty")?.remove();
    const box = made("article", `try-turn try-${role}`);
    box.append(made("h3", "try-who", words[role === "user" ? "you" : "model"]));
    const body = made("div", "try-body", content);
    box.append(body);
    log.append(box);
    follow();
    return { box, body };
  }

  function request() {
    const body = { project: Number(at("project").value), messages: [...messages] };
    const system = at("system").value.trim();
    if (system) body.messages.unshift({ role: "system", content: system });
    if (at("temperature").value !== "") body.temperature = Number(at("temperature").value);
    if (at("length").value !== "") body.max_tokens = Number(at("length").value);
    return body;
  }

  // ---- server-sent events, however they are cut into pieces
  async function* events(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const whole = rest.split(/\r?\n\r?\n/);
      rest = whole.pop();
      for (const one of whole) {
        const lines = one.split(/\r?\n/);
        const part = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
        const data = part("data").join("\n");
        if (data) yield { name: part("event")[0] ?? "message", data };
      }
    }
  }

  async function converse() {
    const answer = { text: "", thought: "", id: "", reason: "", error: null, asked: request(), isOver: false };
    const { box, body } = bubble("model", words.waiting);
    body.classList.add("is-waiting");
    const control = new AbortController();
    running = control;
    setBusy(true);
    say(words.answering);
    try {
      const response = await fetch(form.dataset.address, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
        body: JSON.stringify(answer.asked),
        signal: control.signal,
      });
      if (!response.ok || response.redirected) answer.error = await refused(response);
      else await read(response.body, answer, body, box);
      if (!answer.error && !answer.isOver) answer.error = { code: "lost", message: words.lost };
    } catch (error) {
      if (!control.signal.aborted) answer.error = answer.id ? { code: "lost", message: words.lost } : { code: "http_0", message: "" };
    }
    body.classList.remove("is-waiting");
    if (!answer.text) body.textContent = "";
    finish(answer, box, control.signal.aborted);
    running = null;
    setBusy(false);
  }

  async function refused(response) {
    let code = `http_${response.redirected ? 404 : response.status}`;
    try { code = (await response.clone().json()).code ?? code; } catch { /* a page, not ours to show */ }
    return { code, message: "" };
  }

  async function read(stream, answer, body, box) {
    let thought = null;
    for await (const event of events(stream)) {
      if (event.data === "[DONE]") { answer.isOver = true; continue; }
      const data = JSON.parse(event.data);
      if (event.name === "began") { answer.id = data.request_id; continue; }
      if (data.error) { answer.error = data.error; continue; }
      const choice = data.choices?.[0];
      if (!choice) continue;
      answer.reason = choice.finish_reason ?? answer.reason;
      const following = isAtEnd();
      const thinking = choice.delta?.reasoning_content ?? choice.delta?.reasoning;
      if (thinking) {
        if (!thought) {
          thought = made("details", "try-thought");
          thought.append(made("summary", "", words.thinking), made("div", "try-body"));
          box.insertBefore(thought, body);
        }
        thought.lastChild.append(thinking);
      }
      if (choice.delta?.content) {
        if (!answer.text) { body.textContent = ""; body.classList.remove("is-waiting"); }
        answer.text += choice.delta.content;
        body.append(choice.delta.content);  // text, never HTML
        body.normalize();
      }
      if (following) follow();
    }
  }

  function finish(answer, box, wasStopped) {
    if (answer.text) messages.push({ role: "assistant", content: answer.text });
    const note = made("p", "try-note");
    let said = null;
    if (answer.error) {
      const words_ = words.errors[answer.error.code] ?? (answer.error.code === "lost" ? words.lost : words.other_error);
      note.classList.add("try-error");
      note.textContent = words_;
      if (answer.error.code === "insufficient_quota") note.append(" ", budgetsLink());
      if (answer.error.message && answer.error.code !== "lost") said = told(answer.error.message);
      if (!answer.text) restore();
    } else if (wasStopped) note.textContent = words.stopped;
    else if (answer.reason === "length") note.textContent = words.cut;
    if (note.textContent) box.append(note);
    if (said) box.append(said);
    say(note.textContent || words.done);
    const under = made("p", "try-figures");
    box.append(under);
    if (answer.id) settle(answer, under, wasStopped);
    if (answer.id && !(answer.error && !answer.text)) box.append(sameCall(answer.asked));
    follow();
  }

  function budgetsLink() {
    const link = made("a", "", words.budgets);
    link.href = at("project").selectedOptions[0].dataset.address;
    return link;
  }

  function told(message) {
    const fold = made("details", "try-same");
    fold.append(made("summary", "", words.gateway_said), made("p", "", message));
    return fold;
  }

  // The question comes back into its field, so that it can be sent again.
  function restore() {
    const last = messages.at(-1);
    if (last?.role !== "user") return;
    messages.pop();
    if (!text.value) text.value = last.content;
  }

  async function settle(answer, under, wasStopped) {
    const address = form.dataset.bill.replace("00000000-0000-0000-0000-000000000000", answer.id);
    for (let turn = 0; turn < 20; turn += 1) {
      const bill = await fetch(address).then((response) => response.json()).catch(() => null);
      if (bill?.is_settled) return figures(bill, under);
      if (answer.error && !answer.text && !wasStopped) return undefined;  // a refusal has no bill
      await new Promise((done) => setTimeout(done, 150 + turn * 50));
    }
    under.textContent = words.price_pending;
    return undefined;
  }

  function figures(bill, under) {
    const price = made("strong", "figure", bill.cost);
    price.title = bill.exact_cost;
    price.dataset.nanoEur = bill.cost_nano_eur;
    const parts = [price];
    if (bill.first_token) parts.push(made("span", "", filled(words.first_token, { time: bill.first_token })));
    parts.push(made("span", "", filled(words.input, { count: number(bill.input_tokens) })));
    parts.push(made("span", "", filled(words.output, { count: number(bill.output_tokens) })));
    if (bill.reasoning_tokens) parts.push(made("span", "", filled(words.reasoning, { count: number(bill.reasoning_tokens) })));
    const link = made("a", "", words.request);
    link.href = bill.request;
    parts.push(link);
    under.replaceChildren(...parts);
  }

  // ---- the same call elsewhere
  function sameCall(asked) {
    const body = { model: form.dataset.model, messages: asked.messages, stream: true };
    for (const name of ["temperature", "max_tokens"]) if (name in asked) body[name] = asked[name];
    const json = JSON.stringify(body, null, 2);
    const url = `${form.dataset.baseUrl}/v1`;
    const python = json.replace(/\btrue\b(?=,?$)/gm, "True");
    const pieces = {
      curl: `curl -N ${url}/chat/completions \\\n  -H "Authorization: Bearer $BEFFROI_API_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${json.replaceAll("'", "'\\''")}'`,
      Python: `import os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${url}", api_key=os.environ["BEFFROI_API_KEY"])\nrequest = ${python}\nfor event in client.chat.completions.create(**request):\n    if event.choices:\n        print(event.choices[0].delta.content or "", end="", flush=True)`,
      "Node.js": `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${url}", apiKey: process.env.BEFFROI_API_KEY });\nconst stream = await client.chat.completions.create(${json});\nfor await (const event of stream) process.stdout.write(event.choices[0]?.delta?.content ?? "");`,
    };
    const fold = made("details", "try-same");
    fold.append(made("summary", "", words.same_call));
    Object.entries(pieces).forEach(([title, code], place) => {
      const id = `same-${log.children.length}-${place}`;
      const block = made("div", "snippet");
      const shown = made("pre", "");
      shown.tabIndex = 0;
      shown.setAttribute("aria-label", title);
      const inner = made("code", "", code);
      inner.id = id;
      shown.append(inner);
      const copy = made("button", "btn btn-sm snippet-copy", words.copy);
      copy.type = "button";
      copy.dataset.copy = id;
      copy.dataset.copied = words.copied;
      block.append(shown, copy);
      fold.append(made("p", "try-language", title), block);
    });
    return fold;
  }

  // ---- controls
  function setBusy(busy) {
    send.hidden = busy;
    stop.hidden = !busy;
    fresh.disabled = busy || !messages.length;
    if (busy) stop.focus();
    else text.focus();
  }

  form.addEventListener("submit", (e) => {
    e.preventDefault();
    if (running || !text.value.trim()) return;
    messages.push({ role: "user", content: text.value });
    bubble("user", text.value);
    text.value = "";
    converse();
  });
  text.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
      e.preventDefault();
      form.requestSubmit();
    }
  });
  stop.addEventListener("click", () => running?.abort());
  fresh.addEventListener("click", () => {
    messages = [];
    log.replaceChildren();
    fresh.disabled = true;
    say("");
    text.focus();
  });
  addEventListener("pagehide", () => running?.abort());
})();
