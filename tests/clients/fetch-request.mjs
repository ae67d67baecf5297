/** As much of XMLHttpRequest as the older `phoenix` clients use, over `fetch`. */

const DONE = 4;

export class FetchRequest {
  readyState = 0;
  status = 0;
  responseText = "";
  /** In milliseconds; 0 for none. */
  timeout = 0;
  onreadystatechange = () => {};
  onerror = () => {};
  ontimeout = () => {};
  #method = "GET";
  #url = "";
  /** @type {Record<string, string>} */
  #headers = {};
  #controller = new AbortController();

  open(method, url) {
    this.#method = method;
    this.#url = url;
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  async send(body) {
    const { signal } = this.#controller;
    const late = this.timeout > 0 ? setTimeout(() => this.#controller.abort("timeout"), this.timeout) : undefined;
    let failed = () => {};
    try {
      const response = await fetch(this.#url, { method: this.#method, headers: this.#headers, body, signal });
      this.responseText = await response.text();
      this.status = response.status;
    } catch {
      failed = signal.reason === "timeout" ? this.ontimeout : this.onerror;
    }
    clearTimeout(late);
    this.readyState = DONE;
    // a browser reports the end of the request first, and then why it failed
    this.onreadystatechange();
    failed();
  }

  abort() {
    this.#controller.abort("abort");
  }
}
