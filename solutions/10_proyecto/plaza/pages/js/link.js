/* Mantener viva una conexión, sea del tipo que sea: abrirla y, cuando se acabe, volver a abrirla con calma.
 *
 * La espera es un tiempo al azar entre cero y un techo que se dobla («full jitter»): si mil navegadores se caen a la
 * vez, no vuelven a la vez. Si el servidor ha dicho cuánto esperar, se le hace caso.
 */

import { SessionEnded } from "./session.js";

const BASE_MS = 500;
const CEILING_MS = 30_000;
const STABLE_MS = 5000; // lo que tiene que durar una conexión para dar por bueno el camino

export const jitter = (attempt) => Math.random() * Math.min(CEILING_MS, BASE_MS * 2 ** attempt);

export class Link {
  #open;
  #show;
  #wake = () => {};
  #abort = null;

  /**
   * @param open  ({ signal, up }) => Promise<{ wait?, floor?, why? }>: conecta, llama a `up()` cuando ya sirve y
   *   acaba cuando la conexión se acaba. `wait`: cuánto esperar (ms); `floor`: al menos cuánto; `why`: una frase.
   * @param show  ({ state, until?, why? }): state es connecting, up, waiting, offline o ended
   */
  constructor(open, show) {
    this.#open = open;
    this.#show = show;
  }

  async run() {
    addEventListener("offline", () => this.#abort?.abort());
    addEventListener("online", () => this.#wake());
    for (let attempt = 0; ; ) {
      let upAt = Infinity;
      const up = () => {
        upAt = performance.now();
        this.#show({ state: "up" });
      };
      this.#show({ state: "connecting" });
      this.#abort = new AbortController();
      let ending;
      try {
        ending = await this.#open({ signal: this.#abort.signal, up });
      } catch (problem) {
        if (problem instanceof SessionEnded) return this.#show({ state: "ended" });
        ending = { floor: (problem.retryAfter ?? 0) * 1000, why: problem.status ? problem.message : undefined };
      }
      if (performance.now() - upAt > STABLE_MS) attempt = 0;
      await this.#pause(ending.wait ?? (ending.floor ?? 0) + jitter(attempt++), ending.why);
    }
  }

  /** No esperes más: prueba ahora. */
  retry() {
    this.#wake();
  }

  #pause(ms, why) {
    const offline = navigator.onLine === false;
    this.#show(offline ? { state: "offline" } : { state: "waiting", until: Date.now() + ms, why });
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}
