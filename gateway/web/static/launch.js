// A launch inside an LMS's frame: find out how this browser can be known, and bring back what the LMS kept.
// LTI Client Side postMessages 0.1, LTI postMessage Storage 0.1. Without this script the page's own links and buttons work.
"use strict";
(() => {
  const page = document.querySelector("[data-step]");
  const { step, next, frame, origin, key, value } = page.dataset;
  const PATIENCE = 2000; // milliseconds in which an LMS answers a message

  const host = () => window.opener || window.parent;
  const spoken = () => {
    if (frame === "_parent") return host();
    try { return host().frames[frame] || host(); } catch { return host(); }
  };

  const read = (data) => { // a Sakai may answer with text
    if (typeof data !== "string") return data;
    try { return JSON.parse(data); } catch { return null; }
  };

  // Ask the LMS one thing; resolves with its answer, or with null when there is none.
  const ask = (message) => new Promise((done) => {
    const id = crypto.randomUUID();
    const hear = (event) => {
      const said = read(event.data);
      if (event.origin !== origin || !said || said.message_id !== id || said.subject !== message.subject + ".response") return;
      window.removeEventListener("message", hear);
      done(said.error ? null : said);
    };
    window.addEventListener("message", hear);
    setTimeout(() => { window.removeEventListener("message", hear); done(null); }, PATIENCE);
    try { spoken().postMessage({ ...message, message_id: id }, origin); } catch { done(null); }
  });

  const keepsCookies = () => {
    try {
      document.cookie = "probe=1; path=/; Secure; SameSite=None; Partitioned; max-age=30";
      const kept = document.cookie.includes("probe=1");
      document.cookie = "probe=; path=/; Secure; SameSite=None; Partitioned; max-age=0";
      return kept;
    } catch { return false; }
  };

  const blocked = () => {
    page.querySelector("[data-wait]").textContent = "It cannot open in this place.";
    const way = page.querySelector("[data-blocked]");
    way.hidden = false;
    const button = way.querySelector("button");
    if (button) button.focus();
  };

  const probe = async () => {
    page.querySelector("[data-blocked]").hidden = true;
    if (frame && await ask({ subject: "lti.put_data", key, value })) return location.replace(next);
    if (keepsCookies()) return location.replace(next);
    blocked();
  };

  const prove = async () => {
    const kept = await ask({ subject: "lti.get_data", key });
    if (!kept || typeof kept.value !== "string") return blocked();
    const form = page.querySelector("form");
    form.elements.platform_storage.value = kept.value;
    form.submit();
  };

  ({ probe, prove })[step]();
})();
