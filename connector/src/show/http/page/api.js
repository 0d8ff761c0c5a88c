// Calls to this process, and nothing else. Errors come as problem+json and leave as words.

import { ask, byId } from "./dom.js";

const TOKEN = "tidegate-token";
const LIMIT = 8000;

/** What a call was refused with, in words; `status` 0 when there was no answer. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Whether calls carry a token. */
export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

/** Asks for `path` below /api/v1. A 401 asks the user for the token, once, unless `quiet`. */
export async function call(method, path, body, { quiet = false } = {}) {
  let response = await send(method, path, body);
  if (response.status === 401 && !quiet && (await askForToken())) response = await send(method, path, body);
  const answer = await read(response);
  if (response.ok) return answer;
  if (response.status === 401) sessionStorage.removeItem(TOKEN);
  throw new Refused(response.status, words(response, answer));
}

async function send(method, path, body) {
  const headers = { accept: "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(`/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(LIMIT),
    });
  } catch (error) {
    throw new Refused(
      0,
      error.name === "TimeoutError" ? `no answer within ${LIMIT / 1000} s` : "the process does not answer",
    );
  }
}

async function read(response) {
  const text = await response.text();
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return text;
  }
}

function words(response, answer) {
  if (answer && typeof answer === "object") {
    const said = [answer.title, answer.detail].filter(Boolean).join(": ");
    if (said) return said;
  }
  if (response.status === 404) return "this version does not offer that";
  return (typeof answer === "string" && answer.trim()) || `HTTP ${response.status}`;
}

let asking = null;

/** Opens the dialog for the token; true when one was given. Two calls at once share one dialog. */
function askForToken() {
  asking ??= ask(byId("token-dialog")).then((confirmed) => {
    const field = byId("token");
    const given = confirmed && field.value !== "";
    if (given) sessionStorage.setItem(TOKEN, field.value);
    field.value = "";
    asking = null;
    return given;
  });
  return asking;
}
