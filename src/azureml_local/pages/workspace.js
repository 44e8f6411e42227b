// Asks the workspace, with the signature of this page's own address.

const PATIENCE = 15000; // milliseconds

const base = location.pathname.replace(/\/$/, "");
const signature = new URLSearchParams(location.search);

/** The address of something below this page, from the parts of its path. */
export function address(parts, query = {}) {
  const all = new URLSearchParams(signature);
  for (const [name, value] of Object.entries(query)) if (value != null) all.set(name, value);
  return `${[base, ...parts.map((part) => part.split("/").map(encodeURIComponent).join("/"))].join("/")}?${all}`;
}

/** There is no answer: a refusal has its status, silence has 0. */
export class Unanswered extends Error {
  constructor(status) {
    super(status ? `The workspace refused with ${status}.` : "The workspace did not answer.");
    this.status = status;
  }
}

/** Why there is no answer, and the way out, by the status of a refusal; 0 or none is silence. */
export function unanswered({ status }) {
  if (!status) return "The workspace no longer answers. “azureml-local up” starts it.";
  if (status === 404) return "The workspace does not know this any more.";
  if (status !== 401 && status !== 403) return `The workspace refused with ${status}; its workspace.log says why.`;
  return "This address is no longer valid: the workspace signs it for a day. “azureml-local status” prints a new one.";
}

/** The answer of the workspace, or Unanswered. */
export async function ask(parts, query) {
  const silence = () => {
    throw new Unanswered(0);
  };
  const patience = AbortSignal.timeout(PATIENCE);
  const reply = await fetch(address(parts, query), { signal: patience, credentials: "omit" }).catch(silence);
  if (!reply.ok) throw new Unanswered(reply.status);
  return reply.json().catch(silence); // it may fall silent in the middle
}
