// A person with a browser, as far as an authorization server can tell: follows redirects, keeps cookies, sends forms.

/** Signs in at `url` and consents; the address that the browser is sent to in the end, at `redirectUrl`. */
export async function consent(url, redirectUrl) {
  const cookies = new Map();
  const visit = async (where, form) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const how = form ? { method: "POST", body: new URLSearchParams(form) } : {};
    const answer = await fetch(where, { ...how, headers: { cookie }, redirect: "manual" });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      value === "" ? cookies.delete(name) : cookies.set(name, value);
    }
    return answer;
  };
  let [where, form] = [new URL(url)];
  for (let pages = 0; pages < 20; pages += 1) {
    const answer = await visit(where, form);
    if (answer.status >= 300 && answer.status < 400) {
      [where, form] = [new URL(answer.headers.get("location"), where)];
      if (where.href.startsWith(redirectUrl)) return where;
      continue;
    }
    const page = await answer.text();
    const [, action] = /<form[^>]* action="([^"]+)"/.exec(page) ?? [];
    if (!action) throw new Error(`no form at ${where}: ${answer.status} ${page}`);
    const [, prompt] = /name="prompt" value="([^"]+)"/.exec(page);
    [where, form] = [new URL(action, where), { prompt, login: "anna", password: "anything" }];
  }
  throw new Error("no end of pages");
}
