/**
 * One line about work that takes a while: redrawn in place on a terminal, repeated every few
 * seconds elsewhere, so that neither a person nor a log sees silence.
 */

const terminalMs = 200;
const plainMs = 5_000;
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const clearLine = '\r\u001b[2K';

/**
 * @typedef {object} ProgressOptions
 * @property {NodeJS.WritableStream & { isTTY?: boolean, columns?: number }} out
 * @property {boolean} [terminal] default: whether `out` is a terminal that can redraw
 * @property {number} [everyMs] between two lines where there is no terminal
 * @property {() => string} [detail] how far the work is
 */

/**
 * Says that the work begins, and how long it has taken, until `done` is called.
 * @param {string} what
 * @param {ProgressOptions} options
 * @returns {{ done(text?: string): void }} `done` prints a last line, or none
 */
export function showProgress(what, options) {
  const { out, detail = () => '' } = options;
  const terminal = options.terminal ?? canRedraw(out);
  const startMs = performance.now();
  const seconds = () => Math.round((performance.now() - startMs) / 1_000);
  let frame = 0;

  function draw() {
    const about = detail();
    const text = `${what}: ${seconds()} s${about === '' ? '' : `, ${about}`}`;
    if (!terminal) {
      out.write(`${text}\n`);
      return;
    }
    const sign = frames[frame++ % frames.length];
    out.write(`${clearLine}${`${sign} ${text}`.slice(0, (out.columns ?? 80) - 1)}`);
  }

  if (!terminal) out.write(`${what} …\n`);
  const timer = setInterval(draw, terminal ? terminalMs : (options.everyMs ?? plainMs));
  return {
    done(text) {
      clearInterval(timer);
      if (terminal) out.write(clearLine);
      if (text !== undefined) out.write(`${text} (${seconds()} s)\n`);
    },
  };
}

/** @param {{ isTTY?: boolean }} out */
function canRedraw(out) {
  return out.isTTY === true && process.env.TERM !== 'dumb';
}
