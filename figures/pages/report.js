"use strict";
const all = (what, within = document) => [...within.querySelectorAll(what)];
const reveal = () => {
  let at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const target = at;
  for (; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
const box = document.getElementById("filter");
const field = box.querySelector("input");
box.hidden = !all(".claim").length;
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const claim of all(".claim")) {
    const text = claim.textContent.toLowerCase();
    claim.hidden = !words.every((word) => text.includes(word));
    found += !claim.hidden;
  }
  for (const section of all("main .question:not(#questions)")) {
    const hits = all(".claim:not([hidden])", section);
    section.hidden = words.length > 0 && !hits.length;
    if (words.length && hits.length) hits[0].closest("details").open = true;
  }
  box.querySelector("span").textContent = words.length ? `${found} found` : "";
});
let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open])");
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
